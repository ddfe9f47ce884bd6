"""Which drivers of the host compete with vfio-pci for a function."""

from __future__ import annotations

from pipeline.facts import table
from pipeline.pci import IdPair


def unloaded_before(driver: str) -> tuple[str, ...]:
    """Modules to unload, in this order, before `driver` lets go of a function; most drivers need none."""
    entries = [entry for entry in table("drivers")["driver"] if entry["name"] == driver]
    return tuple(name for entry in entries for name in entry.get("unload", ()))


def competing(ids: IdPair, class_code: str) -> tuple[str, ...]:
    """Names of the drivers that would take a function, the usual winner first."""
    return tuple(
        entry["name"]
        for entry in table("drivers")["driver"]
        if class_code.startswith(entry["class"])
        and entry.get("vendor", f"{ids.vendor:04x}") == f"{ids.vendor:04x}"
        and int(entry.get("devices_from", "0"), 16)
        <= ids.device
        < int(entry.get("devices_before", "10000"), 16)
    )


def names() -> frozenset[str]:
    """Every driver that is known here."""
    return frozenset(entry["name"] for entry in table("drivers")["driver"])


def brings(module: str) -> str | None:
    """The driver that is loaded before `module` because it cannot do without; None where none is known."""
    for entry in table("drivers")["dependent"]:
        if module in entry["names"]:
            driver: str = entry["driver"]
            return driver
    return None
