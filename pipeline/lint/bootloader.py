"""DB4xx: the kernel command line that the boot loader passes."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.kernels import iommu_parameters, parameter, turns_iommu_off
from pipeline.lint.finding import Finding, Rule, Severity
from pipeline.plan import Plan
from pipeline.scenario import Loaded


def value_unknown(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB401: the kernel does not know the value of a parameter."""
    for written in plan.host.kernel_parameters:
        name, _, value = written.value.partition("=")
        known = parameter(name)
        if known is None:
            continue
        odd = [one for one in value.split(",") if one not in known.values]
        if not odd:
            continue
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
            source = known.source
        yield Finding(
            code="DB401",
            severity=Severity.NOTE,
            place=written.place,
            found=f"{written.value}: {', '.join(odd) or 'an empty value'} is not an option of {name}",
            why=why,
            fix=fix,
            source=source,
        )


def iommu_off(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB402: the IOMMU is turned off."""
    for written in plan.host.kernel_parameters:
        if turns_iommu_off(written.value, vendor=plan.host.cpu_vendor):
            yield Finding(
                code="DB402",
                severity=Severity.ERROR,
                place=written.place,
                found=f"{written.value} turns the IOMMU off",
                why="without IOMMU there are no groups, and vfio-pci refuses every device with error -22",
                fix=f"remove {written.value}",
                source="measured with 6.12; kernel Documentation/admin-guide/kernel-parameters.txt",
            )


def iommu_not_on(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB403: a parameter that has to turn the IOMMU on says something else."""
    distribution = plan.host.distribution.distribution
    needed = dict(
        one.partition("=")[::2] for one in iommu_parameters(plan.host.cpu_vendor, distribution=distribution)
    )
    for written in plan.host.kernel_parameters:
        name, _, value = written.value.partition("=")
        wanted = needed.get(name)
        if wanted is None or wanted in value.split(","):
            continue
        if not turns_iommu_off(written.value, vendor=plan.host.cpu_vendor):
            yield Finding(
                code="DB403",
                severity=Severity.WARNING,
                place=written.place,
                found=f"{written.value} does not turn the IOMMU on",
                why=f"{distribution}'s kernels leave VT-d off unless the command line says {name}={wanted}",
                fix=f"write {name}={wanted},{value}" if value else f"write {name}={wanted}",
                source="CONFIG_INTEL_IOMMU_DEFAULT_ON is not set; kernel drivers/iommu/intel/iommu.c",
            )


RULES: tuple[Rule, ...] = (value_unknown, iommu_off, iommu_not_on)
