"""What a generation of a distribution installs and has as defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.resources import files
from typing import Any

from pipeline.facts import table

_RELEASE = "{release}"
_FILLED = ("kernel_image", "initramfs_image", "fallback_image", "preset")


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """One entry of distributions/NAME.toml; the paths have the kernel series filled in.

    `generators` and `bootloaders` are those that there are templates for, the default first. What only one of them
    has (a preset, hooks, the path of a unified kernel image) is empty where the distribution has none of it.
    `grub_entries` is the tool that writes the command line into entries which `grub_mkconfig` leaves alone.
    """

    distribution: str
    source: str
    os_release: Mapping[str, str]
    kernel_image: str
    initramfs_image: str
    kernel_parameters: tuple[str, ...]
    ovmf_code: str
    ovmf_vars: str
    packages: tuple[str, ...]
    install: tuple[str, ...]
    libvirt_unit: str
    generators: tuple[str, ...]
    bootloaders: tuple[str, ...]
    grub_mkconfig: tuple[str, ...]
    grub_cfg: str
    grub_entries: str = ""
    uki: str = ""
    fallback_image: str = ""
    fallback_by_default: bool = False
    preset: str = ""
    preset_names_config: bool = False
    hooks: tuple[str, ...] = ()
    ovmf_directories: tuple[str, ...] = ()
    ovmf_names: tuple[str, ...] = ()

    @property
    def ovmf_images(self) -> frozenset[str]:
        """Every path under which the packages put a firmware image or a template of its variables; links count."""
        whole = {f"{where}/{name}" for where in self.ovmf_directories for name in self.ovmf_names}
        return frozenset({*whole, self.ovmf_code, self.ovmf_vars})

    @property
    def release_in_paths(self) -> bool:
        """Whether the names of kernel and initramfs have the kernel's release, which only the host knows."""
        return _RELEASE in self.kernel_image

    def at(self, release: str) -> Distribution:
        """The same with the release of the kernel, as `uname -r` says it, filled into the paths."""
        return replace(
            self,
            kernel_image=self.kernel_image.replace(_RELEASE, release),
            initramfs_image=self.initramfs_image.replace(_RELEASE, release),
        )


def distribution(name: str, *, year: int, kernel: str) -> Distribution:
    """The generation of `name` that a host of `year` with the kernel series `kernel` has.

    Raises LookupError where the data has none.
    """
    try:
        entries = table(f"distributions/{name}")["generation"]
    except FileNotFoundError:
        entries = []
    for entry in entries:
        if entry["from_year"] <= year <= entry["until_year"]:
            return Distribution(distribution=name, **_values(entry, kernel))
    raise LookupError(f"no facts about {name} in {year}")


def _values(entry: Mapping[str, Any], kernel: str) -> dict[str, Any]:
    names = {"kernel": kernel, "kernel_digits": kernel.replace(".", ""), "release": _RELEASE}
    values = {field.name: entry[field.name] for field in fields(Distribution) if field.name in entry}
    for key, value in values.items():
        if key in _FILLED:
            values[key] = value.format(**names)
        elif isinstance(value, list):
            values[key] = tuple(value)
    return values


@cache
def ovmf_elsewhere() -> Mapping[str, str]:
    """Firmware images of every generation that is known, each with the name of a distribution that has it."""
    known: dict[str, str] = {}
    for file in sorted((files("pipeline.facts") / "data/distributions").iterdir(), key=lambda one: one.name):
        name = file.name.removesuffix(".toml")
        for entry in table(f"distributions/{name}")["generation"]:
            one = Distribution(distribution=name, **_values(entry, "0.0"))
            for path in one.ovmf_images:
                known.setdefault(path, one.os_release["NAME"])
    return known
