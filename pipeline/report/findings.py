"""Findings of many inputs, written as they come, so that there may be any number of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console

from pipeline.lint import Finding, Severity
from pipeline.report import problems

# What writes text, such as a file's `write`.
Write = Callable[[str], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One input: its name, the file that stands for it as a whole, and the texts of its files, None where not known."""

    name: str
    file: str
    texts: Callable[[str], str | None]


class Report(Protocol):
    """Takes the findings of one input after another."""

    def add(self, part: Part, findings: Sequence[Finding]) -> None:
        """Write the findings of an input."""
        ...

    def end(self) -> None:
        """Write what is left to write."""
        ...


class Terminal:
    """For people."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._inputs = 0
        self._counts = dict.fromkeys(Severity, 0)

    def add(self, part: Part, findings: Sequence[Finding]) -> None:
        """See Report."""
        problems.findings(self._console, findings)
        counts = {kind: sum(one.severity is kind for one in findings) for kind in Severity}
        self._inputs += 1
        for kind, count in counts.items():
            self._counts[kind] += count
        self._say(part.name, counts)

    def end(self) -> None:
        """See Report."""
        if self._inputs > 1:
            self._say(f"{self._inputs} inputs", self._counts)

    def _say(self, name: str, counts: dict[Severity, int]) -> None:
        listed = ", ".join(f"{count} {kind.value}s" for kind, count in counts.items())
        self._console.print(f"{problems.shown(name)}: {listed}", highlight=False, soft_wrap=True)


class Annotations:
    """For GitHub Actions."""

    def __init__(self, write: Write) -> None:
        from pipeline.report.github import annotation

        self._write = write
        self._annotation = annotation

    def add(self, part: Part, findings: Sequence[Finding]) -> None:
        """See Report."""
        for one in findings:
            self._write(f"{self._annotation(one)}\n")

    def end(self) -> None:
        """See Report."""


class _Items:
    """A JSON array in the making."""

    def __init__(self, write: Write, *, depth: int, before: str, behind: str) -> None:
        self._write = write
        self._indent = "  " * depth
        self._before = before
        self._behind = behind
        self._empty = True

    def add(self, item: Any) -> None:
        written = json.dumps(item, indent=2, ensure_ascii=False)
        # Names of files may be no Unicode; as an escape they are JSON all the same.
        written = written.encode("utf-8", "backslashreplace").decode()
        self._write(f"{self._before}[\n" if self._empty else ",\n")
        self._write(f"{self._indent}  " + written.replace("\n", f"\n{self._indent}  "))
        self._empty = False

    def end(self) -> None:
        closing = f"\n{self._indent}]"
        self._write(f"{self._before}[]" if self._empty else closing)
        self._write(f"{self._behind}\n")


class Json:
    """A list of the findings as `as_json.finding` has them."""

    def __init__(self, write: Write) -> None:
        from pipeline.report.as_json import finding

        self._finding = finding
        self._items = _Items(write, depth=0, before="", behind="")

    def add(self, part: Part, findings: Sequence[Finding]) -> None:
        """See Report."""
        for one in findings:
            self._items.add(self._finding(one))

    def end(self) -> None:
        """See Report."""
        self._items.end()


class Sarif:
    """One run of SARIF."""

    def __init__(self, write: Write) -> None:
        from pipeline.report import sarif

        self._sarif = sarif
        run = {"tool": sarif.tool(), "columnKind": "unicodeCodePoints", "results": []}
        document = {"$schema": sarif.SCHEMA, "version": "2.1.0", "runs": [run]}
        before, _, behind = json.dumps(document, indent=2, ensure_ascii=False).rpartition("[]")
        self._items = _Items(write, depth=3, before=before, behind=behind)

    def add(self, part: Part, findings: Sequence[Finding]) -> None:
        """See Report."""
        for one in self._sarif.results(findings, part.texts, whole=part.file):
            self._items.add(one)

    def end(self) -> None:
        """See Report."""
        self._items.end()
