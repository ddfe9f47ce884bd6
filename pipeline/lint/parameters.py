"""DB404, DB406, DB411: parameters of the kernel command line that are mistyped or read by nobody."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.initramfs import generator
from pipeline.facts.parameters import meant_parameter, reader
from pipeline.lint.command_line import given
from pipeline.lint.edit import remove, replace
from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup

_PARAMETERS = "kernel Documentation/admin-guide/kernel-parameters.txt"
_MAKERS = {"amd": "AMD", "intel": "Intel"}


@rule("DB404", holds="every kernel", source=f"{_PARAMETERS}; Rushmore75/amd-passthrough-fix issue 1")
def other_makers_iommu(setup: Setup) -> Iterator[Problem]:
    """The IOMMU of another maker is turned on.

    `amd_iommu=` goes to AMD-Vi and `intel_iommu=` to VT-d, and which of them a machine has depends on its processor,
    not on its graphics card. The other one is passed over.
    """
    vendor = setup.host.cpu_vendor
    for other, maker in _MAKERS.items():
        if vendor not in _MAKERS or other == vendor:
            continue
        for written, value in given(setup, f"{other}_iommu"):
            if "on" in value.split(","):
                yield Problem(
                    severity=Severity.NOTE,
                    place=written.place,
                    found=f"{written.value} is for processors by {maker}, this host has one by {_MAKERS[vendor]}",
                    why="it depends on the processor, not on the graphics card; here it does nothing",
                    fix=f"remove {written.value}",
                    edits=(remove(written),),
                )


@rule(
    "DB406",
    holds="every kernel",
    source=f"{_PARAMETERS}; kernel init/main.c unknown_bootoption()",
)
def mistyped(setup: Setup) -> Iterator[Problem]:
    """A parameter looks like one of passthrough, but is not spelled like it.

    The kernel hands what it does not know to the first process as an argument or an environment variable, and says so
    in one line of its log only.
    """
    line = setup.host.command_line
    for written in line.parameters if line else ():
        name, equals, value = written.value.partition("=")
        meant = meant_parameter(name)
        if meant and equals:
            yield Problem(
                severity=Severity.WARNING,
                place=written.place,
                found=f"no one reads {name}",
                why=f"it looks like {meant}; the kernel passes over what it does not know",
                fix=f"write {meant}={value}, if that is meant",
                edits=(replace(written, f"{meant}={value}"),),
            )


@rule(
    "DB411",
    holds="mkinitcpio, dracut and initramfs-tools, every release",
    source="dracut.cmdline(7), rd.driver.*",
)
def read_by_another(setup: Setup) -> Iterator[Problem]:
    """A parameter is for another initramfs generator.

    `rd.driver.pre=` is read by dracut's scripts. In an image of mkinitcpio or initramfs-tools nobody reads it; there
    the module has to be in the list that is loaded early.
    """
    initramfs, line = setup.host.initramfs, setup.host.command_line
    if initramfs is None or line is None:
        return
    try:
        tool = generator(initramfs.generator)
    except LookupError:
        return
    for written in line.parameters:
        known = reader(written.value.partition("=")[0])
        if known and known.generator != tool.name:
            yield Problem(
                severity=Severity.NOTE,
                place=written.place,
                found=f"{written.value} is for {known.generator}, and {tool.name} makes this host's initramfs",
                why="nobody reads it",
                fix=f"remove it; modules to load early are in {tool.modules}",
                edits=(remove(written),),
                source=known.source,
            )


RULES: tuple[Rule, ...] = (other_makers_iommu, mistyped, read_by_another)
