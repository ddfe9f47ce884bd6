"""Functions that no reset of PCI brings back into a state from which a guest can start them."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.facts import table
from pipeline.pci import IdPair


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """The name of a family of graphics processors, and where its trouble is described."""

    name: str
    source: str


def stuck(ids: IdPair) -> Family | None:
    """The family that a function belongs to, None where no such trouble is known of it."""
    for entry in table("reset")["family"]:
        if f"{ids.vendor:04x}" == entry["vendor"] and f"{ids.device:04x}" in entry["devices"]:
            return Family(name=entry["name"], source=entry["source"])
    return None
