"""Ids are changed only where it is sure that they are what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.lint import lint
from pipeline.pci import Address
from pipeline.plan import resolve
from pipeline.scenario import read
from pipeline.setup.from_plan import from_plan
from pipeline.setup.model import Origin

USB, CARD, SOUND = "1022:15e0", "1002:67ef", "1002:aae0"


def edits(code: str, ids: list[str], passed: set[str], origin: Origin) -> list[str]:
    """The new or old values of the edits of a finding, where that many functions are passed through."""
    loaded = read("rx560", settings=[f"host.vfio.ids={ids}"])
    setup = from_plan(resolve(loaded), loaded)
    assert setup.board is not None
    chosen = {Address.parse(one) for one in passed}
    functions = tuple(replace(one, passed=one.address in chosen) for one in setup.board.functions)
    setup = replace(setup, origin=origin, board=replace(setup.board, functions=functions))
    found = [one for one in lint(setup) if one.code == code]
    assert found
    return sorted(edit.new or edit.old for one in found for edit in one.edits)


@pytest.mark.parametrize("origin", list(Origin))
def test_the_other_function_of_a_card_is_added(origin: Origin) -> None:
    assert edits("DB104", [CARD], {"01:00.0", "01:00.1"}, origin) == [SOUND]


def test_what_only_a_domain_names_is_not_taken_from_the_host() -> None:
    passed = {"01:00.0", "01:00.1", "06:00.0"}
    assert edits("DB104", [CARD, SOUND], passed, Origin.FILES) == []
    assert edits("DB104", [CARD, SOUND], passed, Origin.SCENARIO) == [USB]


@pytest.mark.parametrize("origin", list(Origin))
def test_an_id_of_something_else_is_taken_out(origin: Origin) -> None:
    assert edits("DB103", [CARD, SOUND, USB], {"01:00.0", "01:00.1"}, origin) == [USB]


@pytest.mark.parametrize("origin", list(Origin))
def test_the_id_of_a_function_that_was_left_out_of_the_domain_stays(origin: Origin) -> None:
    assert edits("DB103", [CARD, SOUND], {"01:00.0"}, origin) == []


def test_ids_stay_where_the_domain_says_something_else_altogether() -> None:
    assert edits("DB103", [CARD, SOUND], {"06:00.0"}, Origin.FILES) == []
    assert edits("DB103", [CARD, SOUND], {"06:00.0"}, Origin.SCENARIO) == [CARD, SOUND]
