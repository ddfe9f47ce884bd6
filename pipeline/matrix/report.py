"""A matrix on the terminal, as JSON, as JUnit XML and as a table in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from rich.console import Console
from rich.table import Table

from pipeline.matrix import comparison_report
from pipeline.matrix.cell import Lane
from pipeline.matrix.comparison import State
from pipeline.matrix.found import Found, failed, first_line, shown, summary
from pipeline.matrix.result import CellResult, Ended
from pipeline.report import files
from pipeline.report.plain import plain
from pipeline.report.problems import shown as escaped

FILES = ("matrix.json", "matrix.md", "junit.xml", "proposal")
_COLOURS = {Ended.HELD: "green", Ended.FAILED: "red", Ended.LAB_FAULT: "magenta"}
_UNUSUAL = {State.HARMLESS, State.NOTICEABLE, State.BREAKS}
# What Markdown, or HTML in it, would take for more than text.
_MARKED = re.compile(r"[\\`*_{}\[\]<>()#+!|~&-]")


class Progress:
    """A line for each cell as it ends."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._ended = 0

    def ended(self, result: CellResult, *, before: bool = False) -> None:
        """A cell has ended, now or in a run `before`."""
        self._ended += 1
        width = len(str(self._total))
        colour = _COLOURS[result.ended]
        seconds = result.times.get("cell", 0.0)
        when = "[dim]from before[/]" if before else f"{seconds:5.1f} s"
        why = "" if result.ended is Ended.HELD else f": {escaped(failed(result))}"
        tries = f" [dim]({result.attempts} tries)[/]" if result.attempts > 1 and not before else ""
        self._console.print(
            f"[dim]{self._ended:{width}}/{self._total}[/] {when} [{colour}]{result.ended.value:9}[/] "
            f"{escaped(shown(result.cell))}{tries}{why}",
            highlight=False,
            soft_wrap=True,
        )


def show(console: Console, found: Found, *, report: str) -> None:
    """The tables, the answer, what makes the matrix fail, and where the whole of it is."""
    comparison_report.show(console, _compared(found), found.types)
    console.print(table(found))
    if found.answer:
        comparison_report.show_answer(console, found.answer)
    for one in found.results:
        if one.ended is Ended.LAB_FAULT:
            text = f"{escaped(shown(one.cell))}: {escaped(first_line(one.fault))}"
            console.print(f"[magenta]lab fault[/] {text}", highlight=False, soft_wrap=True)
    for line in found.failures:
        console.print(f"[red]fails:[/] {escaped(line)}", highlight=False, soft_wrap=True)
    console.print(f"{len(found.results)} cells: {summary(found.results)}", highlight=False)
    console.print(f"report: {escaped(report)}", highlight=False, soft_wrap=True)


def table(found: Found) -> Table:
    """Machine types by QEMU releases, with result and seconds."""
    selection = found.question.selection
    title = f"{escaped(found.question.scenario)} by machine type and QEMU"
    made = Table(
        "machine type", *(f"QEMU {escaped(one)}" for one in selection.qemus), title=title, expand=False
    )
    made.title_justify = "left"
    for machine in selection.machines:
        row = []
        for qemu in selection.qemus:
            lines = [
                f"[{_COLOURS[one.ended]}]{escaped(_line(found, one))}[/]" for one in _in(found, qemu, machine)
            ]
            row.append("\n".join(lines) or f"[dim]{escaped(found.absent(qemu, machine) or '-')}[/]")
        name = escaped(machine)
        made.add_row(f"[bold]{name}[/] (own)" if machine == found.own else name, *row)
    return made


def write(found: Found, target: Path, proposal: dict[str, str]) -> None:
    """Write the report into the directory `target`, in place of an older one.

    `proposal` has the texts of its files by name, none where nothing is proposed.
    """
    with files.fresh(target) as folder:
        (folder / "matrix.json").write_text(as_json(found), encoding="utf-8", errors="backslashreplace")
        (folder / "matrix.md").write_text(markdown(found), encoding="utf-8", errors="backslashreplace")
        (folder / "junit.xml").write_bytes(junit(found))
        for name, text in proposal.items():
            path = folder / "proposal" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")


def check(target: Path) -> None:
    """Raises BadInput if `target` holds something that is not an older report."""
    files.check(target, ours=FILES)


def as_json(found: Found) -> str:
    """The document, in a stable order; times in seconds."""
    selection = found.question.selection
    document = {
        "schema": 1,
        "scenario": found.question.scenario,
        "own_machine_type": found.own,
        "exit_code": int(found.exit_code),
        "failures": list(found.failures),
        "qemu": list(selection.qemus),
        "machine_types": list(selection.machines),
        "needs": dict(sorted(found.question.needs.items())),
        "cells": [_cell(found, one) for one in found.results],
        "absent": [
            {"qemu": one.qemu, "machine": one.machine, "why": found.absent(one.qemu, one.machine)}
            for one in selection.absent
        ],
        "comparison": comparison_report.as_json(found.comparisons, found.types, found.answer),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def junit(found: Found) -> bytes:
    """A suite for each QEMU and lane, a case for each cell; what fails and does not count is skipped and says so."""
    document = JUnitXml("dryboot")
    selection = found.question.selection
    for qemu in selection.qemus:
        for lane in Lane:
            cases = [
                _case(found, one)
                for machine in selection.machines
                for one in _in(found, qemu, machine)
                if one.cell.lane is lane
            ]
            if cases:
                suite = TestSuite(f"{found.question.scenario}.QEMU {qemu}.{lane.value}")
                suite.add_testcases(cases)
                document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    written: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return written


def markdown(found: Found) -> str:
    """The table and what makes the matrix fail, for the pages of a code host."""
    return "\n".join(_markdown(found)) + "\n"


def _markdown(found: Found) -> Iterator[str]:
    selection = found.question.selection
    yield f"### {_text(found.question.scenario)}: {summary(found.results)}"
    yield ""
    yield f"| machine type | {' | '.join(f'QEMU {_text(one)}' for one in selection.qemus)} |"
    yield "|---" * (len(selection.qemus) + 1) + "|"
    for machine in selection.machines:
        row = []
        for qemu in selection.qemus:
            lines = [_text(_line(found, one)) for one in _in(found, qemu, machine)]
            row.append("<br>".join(lines) or _text(found.absent(qemu, machine) or "-"))
        name = f"**{_text(machine)}** (own)" if machine == found.own else _text(machine)
        yield f"| {name} | {' | '.join(row)} |"
    faults = [f"{shown(one.cell)}: {failed(one)}" for one in found.results if one.ended is Ended.LAB_FAULT]
    for title, lines in (("Fails", [*found.failures]), ("Lab faults", faults)):
        if lines:
            yield ""
            yield f"**{title}**"
            yield ""
            yield from (f"- {_text(line)}" for line in lines)
    if found.answer and found.answer.safe:
        yield ""
        yield f"Newest machine type that is safe here: **{_text(found.answer.safe)}**. {_text(found.answer.proof)}"


def _text(value: str) -> str:
    return _MARKED.sub(r"\\\g<0>", " ".join(plain(value).split()))


def _in(found: Found, qemu: str, machine: str) -> tuple[CellResult, ...]:
    return found.results_of(qemu, machine)


def _line(found: Found, result: CellResult) -> str:
    """A cell's result in a few words."""
    seconds = result.times.get("cell", 0.0)
    words = [f"{result.ended.value} {seconds:.0f} s"]
    if len({cell.lane for cell in found.question.selection.cells}) > 1:
        words[0] = f"{result.cell.lane.value}: {words[0]}"
    if result.ended is Ended.FAILED:
        words.append(", ".join(one.name for one in result.checks if not one.held))
    against = found.comparison(result.cell)
    if against and against.state in _UNUSUAL:
        words.append(against.state.value)
    return ", ".join(word for word in words if word)


def _compared(found: Found) -> list[Any]:
    """The comparisons that say something."""
    return [one for one in found.comparisons if one.state not in {State.NEW, State.UNKNOWN}]


def _cell(found: Found, one: CellResult) -> dict[str, Any]:
    against = found.comparison(one.cell)
    return {
        "qemu": one.cell.qemu,
        "machine": one.cell.machine,
        "lane": one.cell.lane.value,
        "ended": one.ended.value,
        "counts": found.counts(one),
        "checks": [{"name": each.name, "held": each.held, "observed": each.observed} for each in one.checks],
        "compared": against.state.value if against else None,
        "stand_ins": list(one.stand_ins),
        "seconds": dict(one.times),
        "attempts": one.attempts,
        "lab_fault": one.fault,
        "console": one.console,
    }


def _case(found: Found, one: CellResult) -> TestCase:
    case = TestCase(one.cell.machine, classname=f"dryboot.matrix.{one.cell.lane.value}")
    case.time = one.times.get("cell", 0.0)
    said = plain(failed(one))
    if one.ended is Ended.LAB_FAULT:
        case.result = [_with(Error(said, "LabFault"), f"{one.fault}\n{one.console}")]
    elif found.counts(one):
        against = found.comparison(one.cell)
        said = said or (against.state.value if against else "")
        case.result = [_with(Failure(said, "check"), one.console)]
    elif one.ended is Ended.FAILED:
        case.result = [Skipped(f"failed, and is not the scenario's own machine type: {said}")]
    return case


def _with(result: Any, text: str) -> Any:
    result.text = plain(text)
    return result
