"""Modules, built-in drivers and parameters of kernel series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.facts import table
from pipeline.facts.version import parts

# The order is the load order: vfio_pci first pulls the others in (measured with mkinitcpio v41).
VFIO_MODULES = ("vfio_pci", "vfio", "vfio_iommu_type1", "vfio_virqfd")


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """A module that kernels from `removed_in` on no longer have."""

    name: str
    removed_in: str
    reason: str
    source: str


def removal(module: str, *, kernel: str) -> Removal | None:
    """Why `kernel` has no `module`, None where it has or nothing is known."""
    name = canonical(module)
    for entry in table("kernels")["module"]:
        gone = entry.get("removed_in")
        if entry["name"] == name and gone and parts(kernel) >= parts(gone):
            return Removal(
                name=name,
                removed_in=gone,
                reason=entry["reason"],
                source=entry["source"],
            )
    return None


def canonical(module: str) -> str:
    """The kernel's own spelling of a module's name: `-` is `_` (kernel/module, kmod)."""
    return module.removesuffix("?").replace("-", "_")


def vfio_modules(kernel: str) -> tuple[str, ...]:
    """The vfio modules to load early that `kernel` has, in load order."""
    return tuple(name for name in VFIO_MODULES if removal(name, kernel=kernel) is None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """A kernel parameter with the values the kernel knows."""

    name: str
    values: tuple[str, ...]
    source: str


def parameter(name: str) -> Parameter | None:
    """What is known of the kernel parameter `name`."""
    for entry in table("kernels")["parameter"]:
        if entry["name"] == name:
            return Parameter(name=name, values=tuple(entry["values"]), source=entry["source"])
    return None


def iommu_parameters(vendor: str, *, distribution: str) -> tuple[str, ...]:
    """The parameters without which the distribution's kernels leave the IOMMU of a processor by `vendor` off."""
    return tuple(
        needed
        for entry in table("kernels")["iommu"]
        if entry["vendor"] == vendor and distribution in entry["distributions"]
        for needed in entry["needed"]
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class IommuDefault:
    """What is known of how a distribution's kernels turn the IOMMU on.

    `integrated` is the parameter without which integrated graphics alone are left out, empty where they are not.
    """

    integrated: str
    source: str


def iommu_default(vendor: str, *, distribution: str) -> IommuDefault | None:
    """The default of `distribution` for processors by `vendor`, None where nothing is known."""
    for entry in table("kernels")["iommu"]:
        if entry["vendor"] == vendor and distribution in entry["distributions"]:
            return IommuDefault(
                integrated=entry.get("integrated", ""),
                source=entry["source"],
            )
    return None


def turns_iommu_off(parameter: str, *, vendor: str) -> bool:
    """Whether a parameter such as `amd_iommu=off` leaves a processor by `vendor` without IOMMU."""
    name, _, value = parameter.partition("=")
    return name in {"iommu", f"{vendor}_iommu"} and "off" in value.split(",")


def end_of_life(series: str) -> tuple[str, str] | None:
    """Date and source of the end of a series' maintenance, None where it is not known to have ended."""
    for entry in table("kernels")["end_of_life"]:
        if entry["series"] == series:
            return entry["date"], entry["source"]
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class DriverState:
    """How a kernel has a driver: "built-in", "module" or "unknown", and where that was read."""

    state: Literal["built-in", "module", "unknown"]
    source: str


def driver_state(distribution: str, kernel: str, driver: str) -> DriverState:
    """What is known of `driver` in a kernel series of a distribution."""
    for entry in _configurations(distribution, kernel):
        if canonical(driver) in entry["drivers"]:
            return DriverState(state="built-in", source=entry["source"])
        if canonical(driver) in entry["modules"]:
            return DriverState(state="module", source=entry["source"])
    return DriverState(state="unknown", source="")


def built_in(distribution: str, kernel: str) -> dict[str, str]:
    """Drivers that the distribution builds into this kernel (not modules), with the source."""
    found: dict[str, str] = {}
    for entry in _configurations(distribution, kernel):
        found.update(dict.fromkeys(entry["drivers"], entry["source"]))
    return found


def known(distribution: str) -> bool:
    """Whether the configuration of any kernel of the distribution is known."""
    return any(entry["distribution"] == distribution for entry in table("kernels")["built_in"])


def _configurations(distribution: str, kernel: str) -> Iterator[dict[str, Any]]:
    """What is known of how the distribution configured this kernel series."""
    for entry in table("kernels")["built_in"]:
        until = entry.get("until_kernel", kernel)
        if entry["distribution"] == distribution and parts(entry["since_kernel"]) <= parts(kernel) <= parts(
            until
        ):
            yield entry
