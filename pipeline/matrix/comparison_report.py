"""What a matrix says of differences: tables for the terminal, and values for JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.matrix.answer import Answer
from pipeline.matrix.answer import State as Standing
from pipeline.matrix.cell import Cell
from pipeline.matrix.comparison import Comparison, State, TypesComparison, Version
from pipeline.matrix.difference import Kind, Weight
from pipeline.matrix.explanation import Explained, unexplained
from pipeline.matrix.reason import Explanation
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
_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of the report on differences; `weight` is None for what has none, `inner` says that it is of a part."""

    section: str
    weight: Weight | None
    text: str
    explanation: Explanation
    inner: bool = False


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
    shared = _shared(comparisons)
    for each in comparisons:
        if each.explained or each.defaults:
            _comparison(console, each, shared)
    for path, reason in shared:
        _say(console, f"[dim]not compared in any cell: {shown(path)}: {shown(reason)}[/]")


def _shared(comparisons: Sequence[Comparison]) -> tuple[tuple[str, str], ...]:
    """What no cell could be compared in."""
    each = [{*one.left_out.items()} for one in comparisons if one.left_out]
    return tuple(sorted(set[tuple[str, str]].intersection(*each))) if each else ()


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
                "versions": {
                    each.name: {"before": each.before, "after": each.after} for each in one.versions
                },
            }
            for one in comparisons
        ],
        "answer": _answer_json(found) if found else None,
    }


def lines(explained: Iterable[Explained]) -> Iterator[Line]:
    """A line for each difference, and for the parts of one whose parts have reasons of their own."""
    for one in explained:
        yield _line(one)
        whole = one.difference.kind in {Kind.ADDED, Kind.REMOVED} and not one.difference.gathered
        if whole or not one.details:
            continue
        by_reason: dict[Explanation, list[Explained]] = {}
        for part in one.details:
            by_reason.setdefault(part.explanation, []).append(part)
        if one.difference.gathered and list(by_reason) == [one.explanation]:
            continue
        for parts in by_reason.values():
            yield _inner(parts)


def _line(one: Explained) -> Line:
    difference = one.difference
    name = difference.path.partition("/")[2] or difference.path
    count = f" ({len(one.details)} of them)" if difference.gathered else ""
    match difference.kind:
        case Kind.ADDED:
            text = f"{name}{count} is new: {_short(difference.after)}"
        case Kind.REMOVED:
            text = f"{name}{count} is gone, was {_short(difference.before)}"
        case Kind.MOVED:
            text = f"{name} has moved to {difference.after}"
        case _:
            text = f"{name}{count}: {_short(difference.before)} -> {_short(difference.after)}"
    return Line(
        section=difference.path.split("/")[0],
        weight=difference.weight,
        text=text,
        explanation=one.explanation,
    )


def _inner(parts: Sequence[Explained]) -> Line:
    """One line for all parts that have the same reason."""
    first = parts[0]
    if len(parts) == 1:
        return replace(_line(first), inner=True)
    names = [one.difference.path.partition("/")[2] for one in parts]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return Line(
        section=first.difference.path.split("/")[0],
        weight=min((one.difference.weight for one in parts), key=lambda weight: weight.rank),
        text=f"{', '.join(names[:_MOST_NAMED])}{more}",
        explanation=first.explanation,
        inner=True,
    )


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


def _comparison(console: Console, one: Comparison, shared: Collection[tuple[str, str]]) -> None:
    before = f", compared with {_cell(one.before)}" if one.before else ""
    _say(console, f"\n[bold]{_cell(one.cell)}[/]{before}")
    if one.versions:
        _say(console, f"  versions: {shown('; '.join(_version(each) for each in one.versions))}")
    section = ""
    for line in lines(one.explained):
        if line.section != section:
            section = line.section
            _say(console, f"  [bold]{shown(section)}[/]")
        _print(console, line)
    if one.defaults:
        _say(console, "  [bold]changed defaults of devices that this guest has[/]")
        for each in one.defaults:
            _print(console, replace(_line(each), weight=None))
    for path, reason in sorted({*one.left_out.items()} - {*shared}):
        _say(console, f"  [dim]not compared: {shown(path or 'everything')}: {shown(reason)}[/]")
    dark = unexplained(one.explained)
    if dark:
        _say(console, f"  not explained: {len(dark)} of the differences")


def _print(console: Console, line: Line) -> None:
    head = f"[{_WEIGHTS[line.weight]}]{line.weight.value}[/] " if line.weight else ""
    source = f" [dim]({shown(line.explanation.source)})[/]" if line.explanation.source else ""
    indent = "      " if line.inner else "    "
    _say(console, f"{indent}{head}{shown(line.text)}: {shown(line.explanation.text)}{source}")


def _version(one: Version) -> str:
    same = one.before == one.after
    return f"{one.name} {f'{one.after} on both' if same else f'{_short(one.before)} -> {_short(one.after)}'}"


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
                "partial": list(one.partial),
                "why": one.why,
            }
            for one in found.verdicts
        ],
        "statements": [{"text": one.text, "source": one.source} for one in found.statements],
    }
