"""What a run found: checks with what was expected and observed, and everything that stood in for the real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import ExitCode
from pipeline.lint import Finding
from pipeline.plan.model import Expectation

Observed = str | tuple[str, ...]


class Outcome(StrEnum):
    """How a check or a whole run ended.

    A check is not proven here where it held, and a difference between the host and what ran for it would let it
    hold whatever the host does.
    """

    HELD = "held"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_PROVEN = "not proven here"
    LAB_FAULT = "lab fault"


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """An expectation with what was observed; `seconds` is how long the check itself took."""

    expectation: Expectation
    outcome: Outcome
    observed: Observed = ""
    seconds: float = 0.0


class Listener:
    """Is told how a run goes on; says nothing by itself."""

    def step(self, text: str) -> None:
        """Something begins."""

    def check(self, result: CheckResult) -> None:
        """A check was made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StandIn:
    """A part that differs from what the scenario asks for, and whether that can change the verdict."""

    part: str
    asked: str
    ran: str
    matters: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fidelity:
    """How near a part of the run is to the host: what the scenario asks for, what ran, and what that means.

    `differs` is false where both are the same as far as is known.
    """

    part: str
    asked: str
    ran: str
    differs: bool
    effect: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Everything that a run has to say. Times in seconds, memory in bytes; `edited` files were not as rendered."""

    scenario: str
    outcome: Outcome
    findings: tuple[Finding, ...]
    checks: tuple[CheckResult, ...]
    stand_ins: tuple[StandIn, ...]
    replacements: tuple[str, ...]
    accelerator: str
    versions: Mapping[str, str]
    times: Mapping[str, float]
    peak_memory: int
    fault: str = ""
    edited: tuple[str, ...] = ()
    fidelity: tuple[Fidelity, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """The exit status of the task."""
        match self.outcome:
            case Outcome.HELD:
                return ExitCode.HELD
            case Outcome.LAB_FAULT:
                return ExitCode.LAB_FAULT
            case _:
                return ExitCode.FAILED


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """A scenario's run: its exit status, seconds, and how it differs from what the file states (empty: not)."""

    name: str
    status: int
    seconds: float
    failing: tuple[str, ...]
    difference: str


def outcome_of(checks: Sequence[CheckResult]) -> Outcome:
    """A run held only if something was proven, nothing failed, and nothing was left out.

    What is not proven here does not make it fail: no change of the scenario would prove it.
    """
    outcomes = {check.outcome for check in checks}
    if Outcome.LAB_FAULT in outcomes:
        return Outcome.LAB_FAULT
    return Outcome.HELD if outcomes - {Outcome.NOT_PROVEN} == {Outcome.HELD} else Outcome.FAILED
