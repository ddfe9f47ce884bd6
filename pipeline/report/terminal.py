"""A run on the terminal: findings, checks as they are made, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich import markup
from rich.console import Console
from rich.table import Table

from pipeline.errors import DrybootError
from pipeline.lint import Finding, Severity
from pipeline.report.plain import plain
from pipeline.verdict import CheckResult, Compared, Listener, Outcome, Verdict

_COLOURS = {
    Severity.ERROR: "red",
    Severity.WARNING: "yellow",
    Severity.NOTE: "cyan",
    Outcome.HELD: "green",
    Outcome.FAILED: "red",
    Outcome.SKIPPED: "dim",
    Outcome.NOT_PROVEN: "yellow",
    Outcome.LAB_FAULT: "magenta",
}


def _shown(text: str) -> str:
    return markup.escape(plain(text))


class Progress(Listener):
    """Prints each step with the seconds since the start, and each check."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()

    def step(self, text: str) -> None:
        """Something begins."""
        seconds = time.monotonic() - self._started
        self._console.print(f"[dim]{seconds:6.1f} s[/] {_shown(text)}", highlight=False)

    def check(self, result: CheckResult) -> None:
        """A check was made."""
        colour = _COLOURS[result.outcome]
        self._console.print(
            f"         [{colour}]{result.outcome.value:7}[/] {_shown(result.expectation.id)}", highlight=False
        )


def error(console: Console, problem: DrybootError) -> None:
    """One error with its place and hint."""
    console.print(f"[red]error:[/] {_shown(str(problem))}", highlight=False, soft_wrap=True)


def findings(console: Console, found: Sequence[Finding]) -> None:
    """Lint findings, each with reason, fix and source."""
    for one in found:
        colour = _COLOURS[one.severity]
        head = f"{_shown(str(one.place))}: [{colour}]{one.severity.value}[/] {one.code}: {_shown(one.found)}"
        console.print(head, highlight=False, soft_wrap=True)
        if one.place.text:
            console.print(f"    | {_shown(one.place.text)}", style="dim", highlight=False, soft_wrap=True)
        for name, value in (("why", one.why), ("fix", one.fix), ("source", one.source)):
            console.print(f"    {name}: {_shown(value)}", highlight=False, soft_wrap=True)


def verdict(console: Console, result: Verdict, report: str) -> None:
    """What failed and which line asked for it, what stood in, and where the whole of it is."""
    for check in result.checks:
        if check.outcome is not Outcome.FAILED:
            continue
        one = check.expectation
        console.print(f"\n[red]{_shown(one.id)}[/] failed", highlight=False)
        console.print(
            f"  {_shown(str(one.place))}: {_shown(one.place.text)}", highlight=False, soft_wrap=True
        )
        for name, value in (
            ("expected", one.expected),
            ("observed", check.observed),
            ("why", one.why),
            ("fix", one.fix),
        ):
            shown = value if isinstance(value, str) else " ".join(value)
            console.print(f"  {name}: {_shown(shown)}", highlight=False, soft_wrap=True)
    for check in result.checks:
        if check.outcome is Outcome.NOT_PROVEN:
            observed = check.observed if isinstance(check.observed, str) else " ".join(check.observed)
            console.print(f"\n[yellow]{_shown(check.expectation.id)}[/] not proven here", highlight=False)
            console.print(f"  {_shown(observed)}", highlight=False, soft_wrap=True)
    _fidelity(console, result)
    if result.stand_ins:
        table = Table("part", "ran", "what that hides", title="Stand-ins", title_justify="left", expand=False)
        for stand_in in result.stand_ins:
            table.add_row(_shown(stand_in.part), _shown(stand_in.ran), _shown(stand_in.matters))
        console.print(table)
    for replacement in result.replacements:
        console.print(f"replaced in the domain: {_shown(replacement)}", highlight=False, soft_wrap=True)
    counts = {outcome: sum(check.outcome is outcome for check in result.checks) for outcome in Outcome}
    colour = _COLOURS[result.outcome]
    if result.fault:
        console.print(
            f"[magenta]lab fault (says nothing about the scenario):[/] {_shown(result.fault)}",
            highlight=False,
        )
    seconds = result.times.get("total", 0)
    console.print(
        f"[{colour}]{result.scenario}: {result.outcome.value}[/]: {counts[Outcome.HELD]} held, "
        f"{counts[Outcome.FAILED]} failed, {_unproven(counts)}{counts[Outcome.SKIPPED]} skipped in {seconds:.0f} s, "
        f"peak memory {result.peak_memory >> 20} MiB; {_shown(result.accelerator)}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"report: {_shown(report)}", highlight=False, soft_wrap=True)


def compared(console: Console, one: Compared) -> None:
    """A shipped scenario's run: as its file states, or not."""
    colour, text = ("red", one.difference) if one.difference else ("green", "as stated")
    failing = f" ({', '.join(one.failing)} failed)" if one.failing and not one.difference else ""
    console.print(
        f"[{colour}]{_shown(one.name)}[/]: {_shown(text)}{_shown(failing)} in {one.seconds:.0f} s",
        highlight=False,
        soft_wrap=True,
    )


def _unproven(counts: Mapping[Outcome, int]) -> str:
    number = counts[Outcome.NOT_PROVEN]
    return f"{number} not proven here, " if number else ""


def _fidelity(console: Console, result: Verdict) -> None:
    """Where the run and the host differ, in the parts that decide."""
    rows = [one for one in result.fidelity if one.differs]
    if not rows:
        return
    table = Table(
        "part",
        "the host",
        "ran",
        "can it change the verdict",
        title="Fidelity",
        title_justify="left",
        expand=False,
    )
    for one in rows:
        table.add_row(_shown(one.part), _shown(one.asked), _shown(one.ran), _shown(one.effect))
    console.print(table)
