from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ExitCode, Place
from pipeline.plan.model import Check, Expectation, Stage
from pipeline.verdict import CheckResult, Listener, Outcome, Verdict, outcome_of

EXPECTATION = Expectation(
    check=Check.BINDING,
    stage=Stage.HOST,
    subject="01:00.0",
    expected="vfio-pci",
    place=Place(file="s.yaml", line=1),
    why="why",
    fix="fix",
)


def results(*outcomes: Outcome) -> list[CheckResult]:
    return [CheckResult(expectation=EXPECTATION, outcome=outcome) for outcome in outcomes]


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ([], Outcome.FAILED),
        ([Outcome.HELD], Outcome.HELD),
        ([Outcome.HELD, Outcome.FAILED], Outcome.FAILED),
        ([Outcome.HELD, Outcome.SKIPPED], Outcome.FAILED),
        ([Outcome.HELD, Outcome.NOT_PROVEN], Outcome.HELD),
        ([Outcome.NOT_PROVEN], Outcome.FAILED),
        ([Outcome.NOT_PROVEN, Outcome.SKIPPED], Outcome.FAILED),
        ([Outcome.SKIPPED], Outcome.FAILED),
        ([Outcome.FAILED, Outcome.LAB_FAULT], Outcome.LAB_FAULT),
    ],
)
def test_outcome_of(outcomes: list[Outcome], whole: Outcome) -> None:
    assert outcome_of(results(*outcomes)) is whole


@given(st.lists(st.sampled_from(Outcome)))
def test_a_run_holds_only_if_everything_did(outcomes: list[Outcome]) -> None:
    held = Outcome.HELD in outcomes and set(outcomes) <= {Outcome.HELD, Outcome.NOT_PROVEN}
    assert (outcome_of(results(*outcomes)) is Outcome.HELD) == held


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.HELD, ExitCode.HELD),
        (Outcome.FAILED, ExitCode.FAILED),
        (Outcome.SKIPPED, ExitCode.FAILED),
        (Outcome.LAB_FAULT, ExitCode.LAB_FAULT),
    ],
)
def test_exit_codes(outcome: Outcome, code: ExitCode) -> None:
    verdict = Verdict(
        scenario="s",
        outcome=outcome,
        findings=(),
        checks=(),
        stand_ins=(),
        replacements=(),
        accelerator="tcg",
        versions={},
        times={},
        peak_memory=0,
    )
    assert verdict.exit_code is code


def test_the_numbers_of_the_exit_codes() -> None:
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 130]


def test_a_listener_by_itself_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    listener = Listener()
    listener.step("booting")
    listener.check(results(Outcome.HELD)[0])
    assert capsys.readouterr() == ("", "")
