"""DB0xx: what lint could not look at."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup


@rule("DB001", holds="every input", source="Dryboot reads files and runs none of them")
def not_understood(setup: Setup) -> Iterator[Problem]:
    """A part of the input was not understood.

    Configuration in shell can compute its values, files may be damaged or out of reach, and tools know lines that
    Dryboot does not. What such a part says is unknown here: no rule has looked at it, and it may be right or wrong.
    """
    for part in setup.unread:
        yield Problem(
            severity=Severity.NOTE,
            place=part.place,
            found=part.what,
            why="no rule has looked at what it says",
            fix="look at it yourself, or write it in a plain way, such as NAME=value",
        )


RULES: tuple[Rule, ...] = (not_understood,)
