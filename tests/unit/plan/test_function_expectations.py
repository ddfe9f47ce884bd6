from __future__ import annotations

from pipeline.plan import resolve
from pipeline.plan.function_expectations import KINDS, with_functions
from pipeline.plan.model import Stage
from pipeline.scenario import read

PLAN = resolve(read("rx560"))


def test_each_passed_function_has_every_kind_once() -> None:
    added = with_functions(PLAN).expectations[len(PLAN.expectations) :]
    assert {(one.check, one.subject) for one in added} == {
        (kind, address) for kind in KINDS for address in ("01:00.0", "01:00.1")
    }
    assert len(added) == 2 * len(KINDS)


def test_each_says_what_it_means_and_where_it_comes_from() -> None:
    added = with_functions(PLAN).expectations[len(PLAN.expectations) :]
    assert all(one.why and one.fix and one.place.line and one.stage is Stage.GUEST for one in added)


def test_the_plan_without_them_has_none() -> None:
    assert not KINDS & {one.check for one in PLAN.expectations}


def test_the_others_stay_as_they_are() -> None:
    assert with_functions(PLAN).expectations[: len(PLAN.expectations)] == PLAN.expectations
