"""What a matrix says of differences: tables for the terminal, and values for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.matrix.answer import Answer
from pipeline.matrix.answer import State as Standing
from pipeline.matrix.cell import Cell
from pipeline.matrix.comparison import Comparison, State, TypesComparison
from pipeline.matrix.difference import Difference, Kind, Weight
from pipeline.matrix.explanation import Explained, unexplained
from pipeline.report.problems import shown

_COLOURS = {
    State.SAME: "green",
    State.HARMLESS: "green",
    State.NOTICEABLE: "yellow",
    State.BREAKS: "red",
    State.GONE: "red",
    State.NEW: "cyan",
    State.UNKNOWN: "magenta",
}
_STANDINGS = {Standing.SAFE: "green", Standing.FAILS: "red", Standing.UNKNOWN: "magenta"}
_WEIGHTS = {Weight.BREAKS: "red", Weight.NOTICEABLE: "yellow", Weight.HARMLESS: "dim"}
_LONGEST = 72


def show(console: Console, comparisons: Sequence[Comparison], types: Sequence[TypesComparison] = ()) -> None:
    """Machine types that came and went, each cell against its baseline, and one line per difference with why."""
    for one in types:
        _types(console, one)
    if not comparisons:
        return
    table = Table("cell", "compared with", "result", "differences", title="Against the baseline")
    table.title_justify = "left"
    for each in comparisons:
        count = len(each.explained)
        dark = each.unexplained
        table.add_row(
            _cell(each.cell),
            _cell(each.before) if each.before else "-",
            f"[{_COLOURS[each.state]}]{each.state.value}[/]",
            f"{count}{f', {dark} not explained' if dark else ''}" if count else "-",
        )
    console.print(table)
    for each in comparisons:
        if each.explained or each.defaults:
            _comparison(console, each)


def show_answer(console: Console, found: Answer) -> None:
    """The newest machine type that is safe, what speaks for it, and what becomes of the scenario's own."""
    if found.safe:
        _say(console, f"[green]newest machine type that is safe here:[/] {shown(found.safe)}")
        _say(console, f"  {shown(found.proof)}")
        if found.everywhere and found.everywhere != found.safe:
            _say(console, f"  the newest that every QEMU of this matrix has: {shown(found.everywhere)}")
    else:
        _say(console, "[red]no machine type of this matrix is safe[/]")
    for verdict in found.verdicts:
        if verdict.state is not Standing.SAFE:
            colour = _STANDINGS[verdict.state]
            _say(
                console,
                f"  [{colour}]{verdict.state.value}[/] {shown(verdict.machine)}: {shown(verdict.why)}",
            )
    for statement in found.statements:
        _say(console, f"- {shown(statement.text)} [dim]({shown(statement.source)})[/]")


def as_json(
    comparisons: Sequence[Comparison],
    types: Sequence[TypesComparison] = (),
    found: Answer | None = None,
) -> dict[str, Any]:
    """The same as JSON values, in a stable order."""
    return {
        "machine_types": [
            {
                "before": one.before,
                "after": one.after,
                "removed": list(one.removed),
                "added": list(one.added),
                "deprecated": list(one.deprecated),
                "q35": {"before": one.alias_before, "after": one.alias_after},
                "source": one.source,
            }
            for one in types
        ],
        "cells": [
            {
                "cell": _cell_json(one.cell),
                "compared_with": _cell_json(one.before) if one.before else None,
                "state": one.state.value,
                "differences": [_explained_json(each) for each in one.explained],
                "defaults": [_explained_json(each) for each in one.defaults],
                "not_explained": one.unexplained,
                "left_out": dict(one.left_out),
            }
            for one in comparisons
        ],
        "answer": _answer_json(found) if found else None,
    }


def lines(explained: Iterable[Explained], *, inner: bool = False) -> Iterator[tuple[Explained, str]]:
    """Each difference and one line for it, without its explanation; the parts of a device only where they say more."""
    for one in explained:
        yield one, f"{'  ' if inner else ''}{_line(one.difference)}"
        whole = one.difference.kind in {Kind.ADDED, Kind.REMOVED}
        if not whole:
            yield from lines(one.details, inner=True)


def _types(console: Console, one: TypesComparison) -> None:
    _say(console, f"[bold]Machine types of QEMU {shown(one.before)} and {shown(one.after)}[/]")
    for what, names in (("removed", one.removed), ("new", one.added), ("now deprecated", one.deprecated)):
        if names:
            _say(console, f"  {what}: {shown(', '.join(names))}")
    if one.alias_before != one.alias_after:
        _say(
            console,
            f"  q35 without a version: {shown(one.alias_before or 'none')}, now {shown(one.alias_after or 'none')}",
        )
    _say(console, f"  [dim]{shown(one.source)}[/]")


def _comparison(console: Console, one: Comparison) -> None:
    before = f", compared with {_cell(one.before)}" if one.before else ""
    _say(console, f"\n[bold]{_cell(one.cell)}[/]{before}")
    section = ""
    for each, line in lines(one.explained):
        name = each.difference.path.split("/")[0]
        if name != section and not line.startswith(" "):
            section = name
            _say(console, f"  [bold]{shown(section)}[/]")
        _print(console, each, line)
    if one.defaults:
        _say(console, "  [bold]changed defaults of devices that this guest has[/]")
        for each in one.defaults:
            _print(console, each, _line(each.difference), bare=True)
    for path, reason in one.left_out.items():
        _say(console, f"  [dim]not compared: {shown(path or 'everything')}: {shown(reason)}[/]")
    dark = unexplained(one.explained)
    if dark:
        _say(console, f"  not explained: {len(dark)} of the differences")


def _print(console: Console, one: Explained, line: str, *, bare: bool = False) -> None:
    colour = _WEIGHTS[one.difference.weight]
    why = one.explanation
    source = f" [dim]({shown(why.source)})[/]" if why.source else ""
    head = "" if bare else f"[{colour}]{one.difference.weight.value}[/] "
    _say(console, f"    {head}{shown(line)}: {shown(why.text)}{source}")


def _line(one: Difference) -> str:
    name = one.path.partition("/")[2] or one.path
    match one.kind:
        case Kind.ADDED:
            return f"{name} is new: {_short(one.after)}"
        case Kind.REMOVED:
            return f"{name} is gone, was {_short(one.before)}"
        case Kind.MOVED:
            return f"{name} has moved to {one.after}"
    return f"{name}: {_short(one.before)} -> {_short(one.after)}"


def _short(text: str | None) -> str:
    words = text or "nothing"
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


def _cell(cell: Cell) -> str:
    return shown(f"{cell.machine} on QEMU {cell.qemu}, {cell.lane.value}")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


def _cell_json(cell: Cell) -> Mapping[str, str]:
    return {"qemu": cell.qemu, "machine": cell.machine, "lane": cell.lane.value}


def _explained_json(one: Explained) -> dict[str, Any]:
    difference = one.difference
    return {
        "path": difference.path,
        "kind": difference.kind.value,
        "before": difference.before,
        "after": difference.after,
        "weight": difference.weight.value,
        "weight_why": difference.why,
        "explanation": one.explanation.text,
        "source": one.explanation.source,
        "details": [_explained_json(each) for each in one.details],
    }


def _answer_json(found: Answer) -> dict[str, Any]:
    return {
        "own": found.own,
        "safe": found.safe,
        "everywhere": found.everywhere,
        "proof": found.proof,
        "machines": [
            {
                "machine": one.machine,
                "state": one.state.value,
                "fast": list(one.fast),
                "nested": list(one.nested),
                "why": one.why,
            }
            for one in found.verdicts
        ],
        "statements": [{"text": one.text, "source": one.source} for one in found.statements],
    }
