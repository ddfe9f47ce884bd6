"""Lint over the whole catalogue and over the good scenarios, without booting anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.faults.change import Rendered, make, rendered
from pipeline.faults.judge import Linted, lint_of_fault, lint_of_good
from pipeline.faults.loader import LoadedFault
from pipeline.files.domain import read_domains
from pipeline.files.setup import read_files
from pipeline.lint import Finding, lint
from pipeline.render import Bundle
from pipeline.scenario.loader import SHIPPED
from pipeline.setup.from_plan import from_plan


def faults(catalogue: Sequence[LoadedFault]) -> Iterator[Linted]:
    """How lint does on each fault. Raises BadInput where one cannot be made."""
    for found in catalogue:
        fault, made = found.fault, make(found)
        findings = of_bundle(made.rendered, made.bundle) if fault.files else of_scenario(made.rendered)
        yield lint_of_fault(fault.name, fault.expect, findings, _known(rendered(fault.base)))


def good_scenarios() -> Iterator[Linted]:
    """Lint over every shipped scenario, and over its bundle; what one states of itself is no false alarm."""
    for path in sorted(SHIPPED.glob("*.yaml")):
        base = rendered(path.stem)
        yield lint_of_good(path.stem, of_scenario(base), _known(base))
        yield lint_of_good(f"{path.stem} (bundle)", of_bundle(base, base.bundle), _known(base))


def of_scenario(one: Rendered) -> tuple[Finding, ...]:
    """What lint finds in the scenario."""
    return lint(from_plan(one.plan, one.loaded))


def _known(one: Rendered) -> tuple[str, ...]:
    return tuple(known.finding for known in one.loaded.scenario.expect.findings)


def of_bundle(one: Rendered, bundle: Bundle) -> tuple[Finding, ...]:
    """What lint finds in the files; what only the machine itself tells is that of the scenario."""
    machine = from_plan(one.plan, one.loaded)
    setup = read_files(bundle.files, shown="", board=machine.board, read_domains=read_domains)
    host = replace(
        setup.host,
        cpu_vendor=machine.host.cpu_vendor,
        threads=machine.host.threads,
        memory=machine.host.memory,
    )
    return lint(replace(setup, host=host))
