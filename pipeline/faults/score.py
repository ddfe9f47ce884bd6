"""The score: how many faults are caught and shown, how many good scenarios are blamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ExitCode
from pipeline.faults.judge import Booted, Linted, Mark, Shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What came of a run of the catalogue; seconds for lint and for booting. `good` are the good scenarios."""

    linted: tuple[Linted, ...] = ()
    good: tuple[Linted, ...] = ()
    booted: tuple[Booted, ...] = ()
    lint_seconds: float = 0.0
    boot_seconds: float = 0.0

    @property
    def exit_code(self) -> ExitCode:
        """HELD where all is as stated."""
        shown = {one.shown for one in self.booted}
        if shown & {Shown.LAB_FAULT, Shown.NO_VERDICT}:
            return ExitCode.LAB_FAULT
        marks = {one.mark for one in (*self.linted, *self.good)}
        as_stated = marks <= {Mark.CAUGHT, Mark.GOOD} and shown <= {Shown.AS_STATED}
        return ExitCode.HELD if as_stated else ExitCode.FAILED

    def lines(self) -> tuple[str, ...]:
        """One line for lint, one for booting, of what was run."""
        found = []
        if self.linted or self.good:
            found.append(
                f"lint: {_share(self.linted, Mark.CAUGHT)} faults caught, {_count(self.linted, Mark.MISSED)} missed, "
                f"{_count(self.linted, Mark.WRONG_REASON)} for the wrong reason; "
                f"{_count(self.good, Mark.FALSE_ALARM)} false alarms on {len(self.good)} good readings; "
                f"{self.lint_seconds:.1f} s"
            )
        if self.booted:
            shown = [one.shown for one in self.booted]
            others = [kind for kind in Shown if kind is not Shown.AS_STATED and kind in shown]
            stated = shown.count(Shown.AS_STATED)
            counted = "".join(f", {shown.count(kind)} {kind.value}" for kind in others)
            found.append(
                f"boot: {stated} of {len(shown)} failed as stated{counted}; {self.boot_seconds:.0f} s"
            )
        return tuple(found)


def _count(linted: Sequence[Linted], mark: Mark) -> int:
    return sum(one.mark is mark for one in linted)


def _share(linted: Sequence[Linted], mark: Mark) -> str:
    return f"{_count(linted, mark)} of {len(linted)}"
