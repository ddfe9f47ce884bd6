"""What is wrong with a scenario, on the terminal: findings and errors."""

from __future__ import annotations

from collections.abc import Sequence

from rich import markup
from rich.console import Console

from pipeline.errors import DrybootError
from pipeline.lint import Finding, Severity
from pipeline.report.plain import plain

_COLOURS = {
    Severity.ERROR: "red",
    Severity.WARNING: "yellow",
    Severity.NOTE: "cyan",
}


def shown(text: str) -> str:
    """Text from elsewhere, fit for rich's markup."""
    return markup.escape(plain(text))


def error(console: Console, problem: DrybootError) -> None:
    """One error with its place and hint."""
    console.print(f"[red]error:[/] {shown(str(problem))}", highlight=False, soft_wrap=True)


def findings(console: Console, found: Sequence[Finding]) -> None:
    """Lint findings, each with reason, fix and source."""
    for one in found:
        colour = _COLOURS[one.severity]
        head = f"{shown(str(one.place))}: [{colour}]{one.severity.value}[/] {one.code}: {shown(one.found)}"
        console.print(head, highlight=False, soft_wrap=True)
        if one.place.text:
            console.print(f"    | {shown(one.place.text)}", style="dim", highlight=False, soft_wrap=True)
        for name, value in (("why", one.why), ("fix", one.fix), ("source", one.source)):
            console.print(f"    {name}: {shown(value)}", highlight=False, soft_wrap=True)
