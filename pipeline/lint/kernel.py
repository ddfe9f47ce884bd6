"""DB7xx: the kernel of the host."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.kernels import end_of_life
from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup


@rule("DB701", holds="series whose maintenance has ended", source="kernel.org, longterm releases")
def kernel_ended(setup: Setup) -> Iterator[Problem]:
    """The kernel series is no longer maintained.

    The distribution drops such a series from its repositories, so nothing that is wrong with it is mended, and the lab
    has to boot another kernel.
    """
    kernel = setup.host.kernel
    ended = end_of_life(kernel.value) if kernel else None
    if kernel and ended:
        date, source = ended
        yield Problem(
            severity=Severity.WARNING,
            place=kernel.place,
            found=f"kernel {kernel.value} has had no fixes since {date}",
            why="the distribution drops such a series from its repositories, so the lab uses another kernel",
            fix="use a maintained longterm series, such as 6.12",
            source=source,
        )


RULES: tuple[Rule, ...] = (kernel_ended,)
