"""QEMU releases that can be unpacked from a distribution's packages."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.facts import table


@dataclass(frozen=True, kw_only=True, slots=True)
class PackagedRelease:
    """A release, the suites of Debian that have it and what is unpacked for it."""

    name: str
    suites: tuple[str, ...]
    packages: tuple[str, ...]
    source: str


def packaged() -> tuple[PackagedRelease, ...]:
    """The releases that are known, oldest first."""
    return tuple(
        PackagedRelease(
            name=entry["name"],
            suites=tuple(entry["suites"]),
            packages=tuple(entry["packages"]),
            source=entry["source"],
        )
        for entry in table("qemu")["release"]
    )
