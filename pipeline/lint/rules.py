"""All rules, and the one function that applies them."""

from __future__ import annotations

from pipeline.lint import bootloader, grouping, guest, ids, initramfs, kernel, machine, modules
from pipeline.lint.finding import Finding, Rule
from pipeline.plan import Plan
from pipeline.scenario import Loaded

RULES: tuple[Rule, ...] = (
    *ids.RULES,
    *modules.RULES,
    *initramfs.RULES,
    *bootloader.RULES,
    *grouping.RULES,
    *machine.RULES,
    *kernel.RULES,
    *guest.RULES,
)


def lint(loaded: Loaded, plan: Plan) -> tuple[Finding, ...]:
    """Everything that the rules find, the worst first, then in the order of the scenario."""
    found = [finding for rule in RULES for finding in rule(plan, loaded)]
    return tuple(sorted(found, key=_order))


def _order(finding: Finding) -> tuple[int, str, int, int, str, str]:
    place = finding.place
    return (finding.severity.rank, place.file, place.line, place.column, finding.code, finding.found)
