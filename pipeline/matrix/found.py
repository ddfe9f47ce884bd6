"""Everything that a matrix has found, and what it means for the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ExitCode
from pipeline.facts.machines import Status
from pipeline.matrix.answer import Answer
from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.comparison import Comparison, State, TypesComparison
from pipeline.matrix.question import Question
from pipeline.matrix.result import CellResult, Ended

_ABSENT = {
    Status.REMOVED: "gone",
    Status.NOT_YET: "not yet there",
    Status.DEPRECATED: "deprecated, left out",
    Status.UNKNOWN: "not there",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """`results` are in the order of the matrix: all cells, or those of a shard.

    `comparisons` has each of them against its baseline; `accepted` says that they are the new baselines.
    """

    question: Question
    results: tuple[CellResult, ...]
    comparisons: tuple[Comparison, ...]
    types: tuple[TypesComparison, ...]
    answer: Answer | None
    accepted: bool = False

    @property
    def own(self) -> str:
        """The scenario's machine type."""
        return self.question.selection.own

    @property
    def exit_code(self) -> ExitCode:
        """A failure that counts, else a fault of the lab, else all is well."""
        if self.failures:
            return ExitCode.FAILED
        faults = any(one.ended is Ended.LAB_FAULT for one in self.results)
        return ExitCode.LAB_FAULT if faults else ExitCode.HELD

    @property
    def failures(self) -> tuple[str, ...]:
        """What makes the matrix fail, a line each.

        The scenario's own machine type has to hold wherever there is one, and must not be taken away; a cell with a
        baseline must not fail where it held. Any other machine type that does not do is information.
        """
        broken = [f"{shown(one.cell)}: {failed(one)}" for one in self.results if self.counts(one)]
        gone = [
            f"QEMU {one.qemu} no longer has {one.machine}, the scenario's own machine type"
            for one in self.question.selection.absent
            if one.machine == self.own and one.status in {Status.REMOVED, Status.UNKNOWN}
        ]
        return (*broken, *gone)

    def counts(self, result: CellResult) -> bool:
        """Whether a cell makes the matrix fail."""
        own = result.cell.machine == self.own and result.ended is Ended.FAILED
        against = None if self.accepted else self.comparison(result.cell)
        return own or (against is not None and against.state is State.BREAKS)

    def comparison(self, cell: Cell) -> Comparison | None:
        """That of a cell of this matrix."""
        return next((one for one in self.comparisons if one.cell == cell), None)

    def absent(self, qemu: str, machine: str) -> str:
        """Why a pair is no cell, empty where it is one."""
        pairs = self.question.selection.absent
        return next(
            (_ABSENT[one.status] for one in pairs if (one.qemu, one.machine) == (qemu, machine)),
            "",
        )

    def results_of(self, qemu: str, machine: str) -> tuple[CellResult, ...]:
        """Those of a pair, the fast lane's first."""
        lanes = list(Lane)
        mine = [one for one in self.results if (one.cell.qemu, one.cell.machine) == (qemu, machine)]
        return tuple(sorted(mine, key=lambda one: lanes.index(one.cell.lane)))


def shown(cell: Cell) -> str:
    """A cell for people."""
    return f"{cell.machine} on QEMU {cell.qemu}, {cell.lane.value}"


def failed(result: CellResult) -> str:
    """In a line: the checks that did not hold with what was seen, or the lab's fault."""
    if result.ended is Ended.LAB_FAULT:
        return first_line(result.fault)
    return "; ".join(f"{one.name}: {first_line(one.observed)}" for one in result.checks if not one.held)


def summary(results: Sequence[CellResult]) -> str:
    """How many ended how."""
    counts = ((sum(one.ended is ended for one in results), ended) for ended in Ended)
    return ", ".join(
        f"{count} {ended.value}{'s' if ended is Ended.LAB_FAULT and count != 1 else ''}"
        for count, ended in counts
    )


def first_line(text: str) -> str:
    """The first line of a text, or nothing."""
    return next(iter(text.splitlines()), "")
