"""The compat properties of the Q35 machine types, as newer QEMU releases tell them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from pipeline.facts import machines, table
from pipeline.facts.version import parts


@cache
def properties(machine: str) -> Mapping[str, str] | None:
    """What a machine type sets (driver.property to value) that the newest one does not; None for an unknown type."""
    version = machines.version_of(machine)
    if version is None or version not in table("machines")["q35"]["versions"]:
        return None
    found: dict[str, str] = {}
    for entry in sorted(table("compat")["type"], key=lambda one: parts(one["version"]), reverse=True):
        if parts(entry["version"]) >= parts(version):
            found.update(entry["sets"])
    return found


def source() -> str:
    """Which QEMU told it."""
    return "query-machines with compat-props of QEMU 10.0 and 11.1, kept in pipeline/facts/data/compat.toml"
