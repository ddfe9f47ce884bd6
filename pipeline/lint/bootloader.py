"""DB4xx: the kernel command line that the boot loader passes."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.kernels import iommu_parameters, parameter, turns_iommu_off
from pipeline.lint.edit import remove, replace
from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup

_PARAMETERS = "kernel Documentation/admin-guide/kernel-parameters.txt"


@rule("DB401", holds="every kernel", source=_PARAMETERS)
def value_unknown(setup: Setup) -> Iterator[Problem]:
    """The kernel does not know the value of a parameter.

    It passes over it: nothing is turned on or off. `amd_iommu=on` is the one that everyone writes; AMD-Vi is on unless
    it is turned off.
    """
    for written in setup.host.command_line.parameters if setup.host.command_line else ():
        name, _, value = written.value.partition("=")
        known = parameter(name)
        other = name in {"amd_iommu", "intel_iommu"} and setup.host.cpu_vendor not in {None, name[:-6]}
        if known is None or other:
            continue  # DB404 speaks of the IOMMU of another maker
        odd = [one for one in value.split(",") if one not in known.values]
        if not odd:
            continue
        source = known.source
        if written.value == "amd_iommu=on":
            why = (
                "AMD-Vi is on unless it is turned off; kernel 6.12 answers "
                "\"AMD-Vi: Unknown option - 'on'\", older ones say nothing, and nothing changes"
            )
            fix = "remove amd_iommu=on"
            source = f"{known.source}; measured with 6.12"
        else:
            why = "the kernel passes over values that it does not know"
            fix = f"remove {written.value}, or use one of: {', '.join(known.values)}"
        yield Problem(
            severity=Severity.NOTE,
            place=written.place,
            found=f"{written.value}: {', '.join(odd) or 'an empty value'} is not an option of {name}",
            why=why,
            fix=fix,
            edits=(remove(written),),
            source=source,
        )


@rule("DB402", holds="every kernel", source=f"measured with 6.12; {_PARAMETERS}")
def iommu_off(setup: Setup) -> Iterator[Problem]:
    """The IOMMU is turned off.

    Without IOMMU there are no groups, and vfio-pci refuses every device with error -22.
    """
    line, vendor = setup.host.command_line, setup.host.cpu_vendor
    for written in line.parameters if line and vendor else ():
        if turns_iommu_off(written.value, vendor=vendor or ""):
            yield Problem(
                severity=Severity.ERROR,
                place=written.place,
                found=f"{written.value} turns the IOMMU off",
                why="without IOMMU there are no groups, and vfio-pci refuses every device with error -22",
                fix=f"remove {written.value}",
                edits=(remove(written),),
            )


@rule(
    "DB403",
    holds="kernels without CONFIG_INTEL_IOMMU_DEFAULT_ON",
    source="CONFIG_INTEL_IOMMU_DEFAULT_ON is not set; kernel drivers/iommu/intel/iommu.c",
)
def iommu_not_on(setup: Setup) -> Iterator[Problem]:
    """A parameter that has to turn the IOMMU on says something else.

    Many distributions leave VT-d off unless the command line has `intel_iommu=on`; `intel_iommu=igfx_off` alone does
    not turn it on.
    """
    line, vendor, distribution = setup.host.command_line, setup.host.cpu_vendor, setup.host.distribution
    if line is None or vendor is None or distribution is None:
        return
    needed = dict(one.partition("=")[::2] for one in iommu_parameters(vendor, distribution=distribution))
    for written in line.parameters:
        name, _, value = written.value.partition("=")
        wanted = needed.get(name)
        if wanted is None or wanted in value.split(","):
            continue
        if not turns_iommu_off(written.value, vendor=vendor):
            whole = f"{name}={wanted},{value}" if value else f"{name}={wanted}"
            yield Problem(
                severity=Severity.WARNING,
                place=written.place,
                found=f"{written.value} does not turn the IOMMU on",
                why=f"{distribution}'s kernels leave VT-d off unless the command line says {name}={wanted}",
                fix=f"write {whole}",
                edits=(replace(written, whole),),
            )


RULES: tuple[Rule, ...] = (value_unknown, iommu_off, iommu_not_on)
