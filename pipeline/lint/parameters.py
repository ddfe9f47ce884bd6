"""DB404-DB406, DB411, DB414: parameters of the kernel command line that are missing, mistyped or read by nobody."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.initramfs import generator
from pipeline.facts.kernels import iommu_default, iommu_parameters
from pipeline.facts.parameters import meant_parameter, reader
from pipeline.lint.command_line import given
from pipeline.lint.edit import add_after, remove, replace
from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup
from pipeline.setup.model import Origin

_PARAMETERS = "kernel Documentation/admin-guide/kernel-parameters.txt"
_MAKERS = {"amd": "AMD", "intel": "Intel"}


@rule("DB404", holds="every kernel", source=f"{_PARAMETERS}; NVIDIA/deepops issue 515")
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
    "DB405",
    holds="kernels without CONFIG_INTEL_IOMMU_DEFAULT_ON",
    source="CONFIG_INTEL_IOMMU_DEFAULT_ON; kernel drivers/iommu/intel/iommu.c",
)
def iommu_never_on(setup: Setup) -> Iterator[Problem]:
    """Nothing turns the IOMMU on.

    Many distributions leave VT-d off unless the command line has `intel_iommu=on`. Without IOMMU there are no groups,
    and vfio-pci refuses every device with error -22.
    """
    host, line = setup.host, setup.host.command_line
    if line is None or host.cpu_vendor is None or host.distribution is None:
        return
    if setup.origin is Origin.FILES and setup.board and setup.board.groups and not setup.board.topology:
        return  # groups were seen on the machine, not predicted, so its IOMMU is on
    known = iommu_default(host.cpu_vendor, distribution=host.distribution)
    for needed in iommu_parameters(host.cpu_vendor, distribution=host.distribution):
        name = needed.partition("=")[0]
        if known is None or any(given(setup, name)):
            continue
        near = any(meant_parameter(one.value.partition("=")[0]) == name for one in line.parameters)
        if near or any("off" in value.split(",") for _, value in given(setup, "iommu")):
            continue  # DB406 and DB402 name the cause
        yield Problem(
            severity=Severity.ERROR if known.certain else Severity.WARNING,
            place=line.where,
            found=f"nothing turns the IOMMU on: {needed} is not in {line.shown}",
            why=f"{host.distribution}'s kernels leave VT-d off without it; there are no groups then, and vfio-pci "
            "refuses every device with error -22",
            fix=f"add {needed}",
            edits=(add_after(line.parameters[-1], needed),) if line.parameters else (),
            source=known.source,
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


@rule(
    "DB414",
    holds="kernels with CONFIG_INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF",
    source="CONFIG_INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF; kernel drivers/iommu/intel/iommu.c",
)
def integrated_left_out(setup: Setup) -> Iterator[Problem]:
    """VT-d is on, but not for the integrated graphics that are passed through.

    Debian's kernels turn VT-d on for everything else. Without `intel_iommu=on` the integrated graphics have no IOMMU,
    so no group, and vfio-pci refuses them.
    """
    host, line = setup.host, setup.host.command_line
    if line is None or host.cpu_vendor is None or host.distribution is None or setup.board is None:
        return
    known = iommu_default(host.cpu_vendor, distribution=host.distribution)
    if known is None or not known.integrated:
        return
    name, _, wanted = known.integrated.partition("=")
    written = [value for parameter, value in given(setup, name)]
    if any(wanted in value.split(",") for value in written):
        return
    for function in setup.board.passed:
        address = function.address
        display = function.class_code.startswith("03") and function.ids.vendor == 0x8086
        if display and (address.domain, address.bus) == (0, 0):
            yield Problem(
                severity=Severity.ERROR,
                place=function.place,
                found=f"{address} is passed through, but {host.distribution}'s kernels leave it out of VT-d",
                why="without IOMMU it has no group, and vfio-pci refuses it",
                fix=f"add {known.integrated}",
                edits=(add_after(line.parameters[-1], known.integrated),)
                if line.parameters and not written
                else (),
                source=known.source,
            )


RULES: tuple[Rule, ...] = (other_makers_iommu, iommu_never_on, mistyped, read_by_another, integrated_left_out)
