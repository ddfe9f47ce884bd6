"""DB7xx: the kernel of the host."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.kernels import end_of_life
from pipeline.lint.finding import Finding, Rule, Severity
from pipeline.plan import Plan
from pipeline.scenario import Loaded


def kernel_ended(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB701: the kernel series is no longer maintained."""
    ended = end_of_life(plan.host.kernel)
    if ended:
        date, source = ended
        yield Finding(
            code="DB701",
            severity=Severity.WARNING,
            place=loaded.source.place(("host", "kernel")),
            found=f"kernel {plan.host.kernel} has had no fixes since {date}",
            why="the distribution drops such a series from its repositories, so the lab uses another kernel",
            fix="use a maintained longterm series, such as 6.12",
            source=source,
        )


RULES: tuple[Rule, ...] = (kernel_ended,)
