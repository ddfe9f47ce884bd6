"""What a generation of a distribution installs and has as defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from pipeline.facts import table


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """One entry of distributions.toml; the paths have their placeholders filled in."""

    distribution: str
    source: str
    os_release: Mapping[str, str]
    kernel_image: str
    initramfs_image: str
    fallback_image: str
    fallback_by_default: bool
    preset: str
    preset_names_config: bool
    hooks: tuple[str, ...]
    kernel_parameters: tuple[str, ...]
    ovmf_code: str
    ovmf_vars: str
    packages: tuple[str, ...]
    bootloaders: tuple[str, ...]


def distribution(name: str, *, year: int, kernel: str) -> Distribution:
    """The generation of `name` that a host of `year` with the kernel series `kernel` has.

    Raises LookupError where the data has none.
    """
    for entry in table("distributions")["generation"]:
        if entry["distribution"] == name and entry["from_year"] <= year <= entry["until_year"]:
            names = {"kernel": kernel, "kernel_digits": kernel.replace(".", "")}
            values = {field.name: entry[field.name] for field in fields(Distribution)}
            for key in ("kernel_image", "initramfs_image", "fallback_image", "preset"):
                values[key] = values[key].format(**names)
            for key in ("hooks", "kernel_parameters", "packages", "bootloaders"):
                values[key] = tuple(values[key])
            return Distribution(**values)
    raise LookupError(f"no facts about {name} in {year}")
