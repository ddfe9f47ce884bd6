"""QEMU's device types and the types that they inherit from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from pipeline.facts import table

PROCESSOR = "x86_64-cpu"


@cache
def _above() -> Mapping[str, str]:
    below = table("device_types")["types"]["below"]
    return {child: parent for parent, children in below.items() for child in children}


def lineage(name: str) -> tuple[str, ...]:
    """The type and those that it inherits from, nearest first; only itself where it is not known.

    Source: qom-list-types of QEMU 11.1.
    """
    found = [name]
    while parent := _above().get(found[-1]):
        found.append(parent)
    if name.endswith(f"-{PROCESSOR}"):
        found.append(PROCESSOR)
    return tuple(found)
