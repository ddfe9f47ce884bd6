"""The difference between two texts of a file, on the terminal."""

from __future__ import annotations

from difflib import unified_diff

from rich.console import Console

from pipeline.report.problems import shown

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def show(console: Console, file: str, old: str, new: str, *, change: str = "mended") -> None:
    """Print a unified diff, with the name of the `change`; what cannot be seen is written as an escape."""
    lines = unified_diff(old.split("\n"), new.split("\n"), f"{file}", f"{file} ({change})", lineterm="")
    for number, line in enumerate(lines):
        style = "bold" if number < 2 else _STYLES.get(line[:1], "")
        console.print(shown(line.removesuffix("\r")), style=style or None, highlight=False, soft_wrap=True)
