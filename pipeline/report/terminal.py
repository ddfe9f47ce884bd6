"""A run on the terminal: findings, checks as they are made, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.errors import DrybootError
from pipeline.lint import Finding, Severity
from pipeline.verdict import CheckResult, Listener, Outcome, Verdict

_COLOURS = {
    Severity.ERROR: "red",
    Severity.WARNING: "yellow",
    Severity.NOTE: "cyan",
    Outcome.HELD: "green",
    Outcome.FAILED: "red",
    Outcome.SKIPPED: "dim",
    Outcome.LAB_FAULT: "magenta",
}


class Progress(Listener):
    """Prints each step with the seconds since the start, and each check."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()

    def step(self, text: str) -> None:
        """Something begins."""
        seconds = time.monotonic() - self._started
        self._console.print(f"[dim]{seconds:6.1f} s[/] {escape(text)}", highlight=False)

    def check(self, result: CheckResult) -> None:
        """A check was made."""
        colour = _COLOURS[result.outcome]
        self._console.print(
            f"         [{colour}]{result.outcome.value:7}[/] {escape(result.expectation.id)}", highlight=False
        )


def error(console: Console, problem: DrybootError) -> None:
    """One error with its place and hint."""
    console.print(f"[red]error:[/] {escape(str(problem))}", highlight=False, soft_wrap=True)


def findings(console: Console, found: Sequence[Finding]) -> None:
    """Lint findings, each with reason, fix and source."""
    for one in found:
        colour = _COLOURS[one.severity]
        head = f"{escape(str(one.place))}: [{colour}]{one.severity.value}[/] {one.code}: {escape(one.found)}"
        console.print(head, highlight=False, soft_wrap=True)
        if one.place.text:
            console.print(f"    | {escape(one.place.text)}", style="dim", highlight=False, soft_wrap=True)
        for name, value in (("why", one.why), ("fix", one.fix), ("source", one.source)):
            console.print(f"    {name}: {escape(value)}", highlight=False, soft_wrap=True)


def verdict(console: Console, result: Verdict, report: str) -> None:
    """What failed and which line asked for it, what stood in, and where the whole of it is."""
    for check in result.checks:
        if check.outcome is not Outcome.FAILED:
            continue
        one = check.expectation
        console.print(f"\n[red]{escape(one.id)}[/] failed", highlight=False)
        console.print(
            f"  {escape(str(one.place))}: {escape(one.place.text)}", highlight=False, soft_wrap=True
        )
        for name, value in (
            ("expected", one.expected),
            ("observed", check.observed),
            ("why", one.why),
            ("fix", one.fix),
        ):
            shown = value if isinstance(value, str) else " ".join(value)
            console.print(f"  {name}: {escape(shown)}", highlight=False, soft_wrap=True)
    if result.stand_ins:
        table = Table("part", "ran", "what that hides", title="Stand-ins", title_justify="left", expand=False)
        for stand_in in result.stand_ins:
            table.add_row(escape(stand_in.part), escape(stand_in.ran), escape(stand_in.matters))
        console.print(table)
    for replacement in result.replacements:
        console.print(f"replaced in the domain: {escape(replacement)}", highlight=False, soft_wrap=True)
    counts = {outcome: sum(check.outcome is outcome for check in result.checks) for outcome in Outcome}
    colour = _COLOURS[result.outcome]
    if result.fault:
        console.print(
            f"[magenta]lab fault (says nothing about the scenario):[/] {escape(result.fault)}",
            highlight=False,
        )
    console.print(
        f"[{colour}]{result.scenario}: {result.outcome.value}[/]: {counts[Outcome.HELD]} held, "
        f"{counts[Outcome.FAILED]} failed, {counts[Outcome.SKIPPED]} skipped in {result.times.get('total', 0):.0f} s, "
        f"peak memory {result.peak_memory >> 20} MiB; {escape(result.accelerator)}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"report: {escape(report)}", highlight=False, soft_wrap=True)
