"""From what was seen of a boot to its fingerprint: every section."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.fingerprint import acpi, cpuid, devices, firmware, interrupts, machine, memory_map, pci, smbios
from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.sighting import Sighting

SECTIONS: dict[str, Callable[[Sighting], Fingerprint]] = {
    "machine": machine.read,
    "firmware": firmware.read,
    "smbios": smbios.read,
    "acpi": acpi.read,
    "cpuid": cpuid.read,
    "memory-map": memory_map.read,
    "interrupts": interrupts.read,
    "pci": pci.read,
    "devices": devices.read,
}


def read(sighting: Sighting) -> Fingerprint:
    """The fingerprint of a boot; whatever the guest said, it is read without an error."""
    parts = [section(sighting) for section in SECTIONS.values()]
    return Fingerprint(
        facts={path: value for part in parts for path, value in part.facts.items()},
        left_out={path: why for part in parts for path, why in part.left_out.items()},
    )
