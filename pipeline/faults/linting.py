"""Lint over the whole catalogue and over the good scenarios, without booting anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.faults.change import Rendered, make, rendered
from pipeline.faults.judge import Linted, lint_of_fault, lint_of_good
from pipeline.faults.loader import LoadedFault
from pipeline.lint import Finding, lint
from pipeline.scenario.loader import SHIPPED
from pipeline.setup.from_plan import from_plan


def faults(catalogue: Sequence[LoadedFault]) -> Iterator[Linted]:
    """How lint does on each fault. Raises BadInput where one cannot be made."""
    for found in catalogue:
        fault, made = found.fault, make(found)
        yield lint_of_fault(
            fault.name, fault.expect, _of_scenario(made.rendered), _known(rendered(fault.base))
        )


def good_scenarios() -> Iterator[Linted]:
    """Lint over every shipped scenario; what one states of itself is no false alarm."""
    for path in sorted(SHIPPED.glob("*.yaml")):
        base = rendered(path.stem)
        yield lint_of_good(path.stem, _of_scenario(base), _known(base))


def _of_scenario(one: Rendered) -> tuple[Finding, ...]:
    return lint(from_plan(one.plan, one.loaded))


def _known(one: Rendered) -> tuple[str, ...]:
    return tuple(known.finding for known in one.loaded.scenario.expect.findings)
