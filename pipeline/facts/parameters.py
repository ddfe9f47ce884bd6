"""Options of the vfio modules, parameters that only some tools read, and words that are often mistyped."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from pipeline.facts import table
from pipeline.facts.version import parts

# Near enough for a letter too many, too few or exchanged in a word of ten; `amd_iommu` is not near to `arm_smmu`.
_NEAR = 0.86


def options(module: str) -> tuple[str, ...]:
    """The options that a module has, empty where nothing is known of it; `module` as the kernel spells it."""
    return tuple(
        name
        for entry in table("parameters")["option"]
        if entry["module"] == module
        for name in entry["names"]
    )


def vfio_names() -> frozenset[str]:
    """Every module with vfio in its name that a kernel may have."""
    return frozenset(name for entry in table("parameters")["vfio"] for name in entry["names"])


def meant_module(name: str) -> str | None:
    """The module of VFIO that a word such as `vfio_pic` stands for; None for one that may be right."""
    known = vfio_names()
    if name in known:
        return None
    near = get_close_matches(name, sorted(known), n=1, cutoff=_NEAR)
    return near[0] if near else None


def passthrough_names() -> frozenset[str]:
    """The parameters of the kernel command line that a passthrough set-up is made of, with `_` for `-`."""
    return frozenset(
        _dashless(name) for entry in table("parameters")["passthrough"] for name in entry["names"]
    )


def meant_parameter(name: str) -> str | None:
    """The parameter that a mistyped word stands for; None for one that may be right."""
    for entry in table("parameters")["mistake"]:
        if _dashless(entry["written"]) == _dashless(name):
            meant: str = entry["meant"]
            return meant
    spellings = {
        _dashless(known): known for entry in table("parameters")["passthrough"] for known in entry["names"]
    }
    like = {_dashless(one) for entry in table("parameters")["passthrough"] for one in entry["like"]}
    word = _dashless(name)
    if word in spellings or word in like or len(word) < 8:
        return None
    near = get_close_matches(word, sorted(spellings), n=1, cutoff=_NEAR)
    return spellings[near[0]] if near else None


def _dashless(name: str) -> str:
    """The kernel takes `-` and `_` in the name of a parameter for the same (kernel/params.c parameq())."""
    return name.replace("-", "_")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """The initramfs generator whose scripts read a parameter."""

    generator: str
    source: str


def reader(name: str) -> Reader | None:
    """Who reads a parameter that the kernel itself does not; None where that is not known."""
    for entry in table("parameters")["reader"]:
        if name in entry["names"]:
            return Reader(generator=entry["generator"], source=entry["source"])
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Framebuffer:
    """A parameter that keeps a driver from the picture of the firmware.

    `blind_since`: the release from which the kernel may drive the picture by another driver, empty where none.
    """

    parameter: str
    driver: str
    source: str
    blind_since: str = ""

    def reliable(self, kernel: str) -> bool:
        """Whether the parameter reaches every driver that this kernel may have."""
        return not self.blind_since or parts(kernel) < parts(self.blind_since)


def framebuffers() -> tuple[Framebuffer, ...]:
    """The parameters that free a card from the picture of the firmware."""
    return tuple(Framebuffer(**entry) for entry in table("parameters")["framebuffer"])


def picture_released(kernel: str) -> bool:
    """Whether vfio-pci itself takes the picture of the firmware from a VGA card in this kernel."""
    return parts(kernel) >= parts(table("parameters")["released"]["since"])


def picture_source() -> str:
    """Where it was read what vfio-pci does with the picture of the firmware."""
    source: str = table("parameters")["released"]["source"]
    return source
