"""Which drivers of the host compete with vfio-pci for a function."""

from __future__ import annotations

from pipeline.facts import table
from pipeline.pci import IdPair


def competing(ids: IdPair, class_code: str) -> tuple[str, ...]:
    """Names of the drivers that would take a function, the usual winner first."""
    return tuple(
        entry["name"]
        for entry in table("drivers")["driver"]
        if class_code.startswith(entry["class"])
        and entry.get("vendor", f"{ids.vendor:04x}") == f"{ids.vendor:04x}"
        and ids.device < int(entry.get("devices_before", "10000"), 16)
    )
