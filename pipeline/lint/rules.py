"""All rules, and the one function that applies them."""

from __future__ import annotations

from pipeline.lint import (
    bootloader,
    grouping,
    guest,
    guest_cpu,
    guest_firmware,
    guest_media,
    guest_memory,
    guest_screen,
    guest_slots,
    handover,
    ids,
    initramfs,
    irqchip,
    kernel,
    machine,
    modules,
    pinning,
)
from pipeline.lint.finding import Finding
from pipeline.lint.rule import Rule
from pipeline.setup import Setup

RULES: tuple[Rule, ...] = (
    *ids.RULES,
    *modules.RULES,
    *initramfs.RULES,
    *bootloader.RULES,
    *grouping.RULES,
    *machine.RULES,
    *irqchip.RULES,
    *kernel.RULES,
    *guest.RULES,
    *guest_slots.RULES,
    *guest_screen.RULES,
    *handover.RULES,
    *guest_cpu.RULES,
    *guest_memory.RULES,
    *pinning.RULES,
    *guest_firmware.RULES,
    *guest_media.RULES,
)


def lint(setup: Setup) -> tuple[Finding, ...]:
    """Everything that the rules find, the worst first, then in the order of the files."""
    found = [finding for rule in RULES for finding in rule(setup)]
    return tuple(sorted(found, key=_order))


def _order(finding: Finding) -> tuple[int, str, int, int, str, str]:
    place = finding.place
    return (finding.severity.rank, place.file, place.line, place.column, finding.code, finding.found)
