"""All rules, and the one function that applies them."""

from __future__ import annotations

from pipeline.lint import (
    acs,
    blacklists,
    bootloader,
    framebuffer,
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
    images,
    initramfs,
    iommu,
    irqchip,
    kernel,
    load_order,
    loaders,
    machine,
    modules,
    options,
    parameters,
    pinning,
    reading,
    softdeps,
)
from pipeline.lint.finding import Finding
from pipeline.lint.rule import Rule
from pipeline.setup import Setup

RULES: tuple[Rule, ...] = (
    *reading.RULES,
    *ids.RULES,
    *options.RULES,
    *blacklists.RULES,
    *softdeps.RULES,
    *modules.RULES,
    *load_order.RULES,
    *framebuffer.RULES,
    *initramfs.RULES,
    *images.RULES,
    *bootloader.RULES,
    *parameters.RULES,
    *iommu.RULES,
    *loaders.RULES,
    *grouping.RULES,
    *acs.RULES,
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
