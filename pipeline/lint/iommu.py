"""DB405, DB414, DB416, DB417: an IOMMU that is not on, not for the device, or does not remap interrupts."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.kernels import canonical, iommu_default, iommu_parameters
from pipeline.facts.parameters import meant_parameter
from pipeline.lint.command_line import given
from pipeline.lint.edit import add_after, remove, replace
from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup
from pipeline.setup.model import Function, Origin

_INTEL = 0x8086


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
    if line is None or host.cpu_vendor is None or host.distribution is None or host.facts is None:
        return  # a distribution that is only like one that is known may have kernels of its own
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
            severity=Severity.ERROR,
            place=line.where,
            found=f"nothing turns the IOMMU on: {needed} is not in {line.shown}",
            why=f"{host.distribution}'s kernels leave VT-d off without it; there are no groups then, and vfio-pci "
            "refuses every device with error -22",
            fix=f"add {needed}",
            edits=(add_after(line.parameters[-1], needed),) if line.parameters else (),
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
    if line is None or host.cpu_vendor is None or host.distribution is None or host.facts is None:
        return
    known = iommu_default(host.cpu_vendor, distribution=host.distribution)
    if known is None or not known.integrated:
        return
    name, _, wanted = known.integrated.partition("=")
    written = [value for parameter, value in given(setup, name)]
    if any(wanted in value.split(",") for value in written):
        return
    for function in _integrated(setup) if "igfx_off" not in ",".join(written).split(",") else ():  # DB416
        yield Problem(
            severity=Severity.ERROR,
            place=function.place,
            found=f"{function.address} is passed through, but {host.distribution}'s kernels leave it out of VT-d",
            why="without IOMMU it has no group, and vfio-pci refuses it",
            fix=f"add {known.integrated}",
            edits=(add_after(line.parameters[-1], known.integrated),)
            if line.parameters and not written
            else (),
            source=known.source,
        )


@rule(
    "DB416",
    holds="every kernel",
    source="kernel Documentation/admin-guide/kernel-parameters.txt intel_iommu=",
)
def integrated_turned_off(setup: Setup) -> Iterator[Problem]:
    """`igfx_off` takes the integrated graphics that are passed through out of VT-d.

    The option is for hosts that keep their integrated graphics. Without IOMMU these have no group, and vfio-pci refuses
    them.
    """
    for written, value in given(setup, "intel_iommu"):
        options = value.split(",")
        for function in _integrated(setup) if "igfx_off" in options else ():
            left = ",".join(one for one in options if one != "igfx_off")
            yield Problem(
                severity=Severity.ERROR,
                place=written.place,
                found=f"{written.value} leaves {function.address}, which is passed through, out of VT-d",
                why="without IOMMU it has no group, and vfio-pci refuses it",
                fix=f"write intel_iommu={left or 'on'}",
                edits=(replace(written, f"intel_iommu={left or 'on'}"),),
            )


def _integrated(setup: Setup) -> tuple[Function, ...]:
    """Intel's integrated graphics that are passed through: on bus 00, where no card can be."""
    return tuple(
        function
        for function in (setup.board.passed if setup.board else ())
        if function.class_code.startswith("03")
        and function.ids.vendor == _INTEL
        and (function.address.domain, function.address.bus) == (0, 0)
    )


@rule(
    "DB417",
    holds="every kernel with VFIO",
    source="kernel Documentation/admin-guide/kernel-parameters.txt intremap=, nointremap; "
    "drivers/vfio/vfio_iommu_type1.c vfio_iommu_type1_attach_group()",
)
def interrupts_not_remapped(setup: Setup) -> Iterator[Problem]:
    """Interrupt remapping is turned off.

    VFIO then refuses every device with "No interrupt remapping support", because a guest could raise any interrupt of
    the host. `allow_unsafe_interrupts` would let it, and DB109 says at what price.
    """
    unsafe = any(
        option.key == "allow_unsafe_interrupts"
        and canonical(option.module) in {"vfio_iommu_type1", "iommufd"}
        for option in (setup.host.modprobe.options if setup.host.modprobe else ())
    ) or any(given(setup, "vfio_iommu_type1.allow_unsafe_interrupts", "iommufd.allow_unsafe_interrupts"))
    for written, value in given(setup, "intremap", "nointremap"):
        off = "off" in value.split(",") or written.value == "nointremap"
        if off and not unsafe and (setup.board is None or setup.board.passed):
            yield Problem(
                severity=Severity.ERROR,
                place=written.place,
                found=f"{written.value} turns interrupt remapping off",
                why='VFIO then refuses every device: "No interrupt remapping support", error -1',
                fix=f"remove {written.value}",
                edits=(remove(written),),
            )


RULES: tuple[Rule, ...] = (
    iommu_never_on,
    integrated_left_out,
    integrated_turned_off,
    interrupts_not_remapped,
)
