"""One rule: its code, what it looks for, and what its docstring says about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import cleandoc

from pipeline.errors import Place
from pipeline.lint.edit import Edit
from pipeline.lint.finding import Finding, Severity
from pipeline.setup import Setup


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What a rule finds at one place; a `source` of its own stands for the rule's."""

    severity: Severity
    place: Place
    found: str
    why: str
    fix: str
    edits: tuple[Edit, ...] = ()
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A rule: `holds` says for which versions, `source` where that was read or measured.

    `title` and `explanation` are the docstring of `find`: what is wrong, and why.
    """

    code: str
    find: Callable[[Setup], Iterator[Problem]]
    holds: str
    source: str

    @property
    def title(self) -> str:
        """What is wrong, in one line."""
        return cleandoc(self.find.__doc__ or "").partition("\n")[0]

    @property
    def explanation(self) -> str:
        """Why it matters, in paragraphs of Markdown; may be empty."""
        return cleandoc(self.find.__doc__ or "").partition("\n")[2].strip()

    def __call__(self, setup: Setup) -> Iterator[Finding]:
        """Everything that the rule finds in a set-up."""
        for one in self.find(setup):
            yield Finding(
                code=self.code,
                severity=one.severity,
                place=one.place,
                found=one.found,
                why=one.why,
                fix=one.fix,
                source=one.source or self.source,
                edits=one.edits,
            )


def rule(code: str, *, holds: str, source: str) -> Callable[[Callable[[Setup], Iterator[Problem]]], Rule]:
    """Make a rule of the function below it; `holds` and `source` as in Rule."""
    return lambda find: Rule(code=code, find=find, holds=holds, source=source)
