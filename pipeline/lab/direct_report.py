"""What the payload would say of a machine at L0, read from the guest's memory; pure.

The lines are the firmware's work either way, and printing them over a serial line takes a twentieth of a boot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.errors import LabFault
from pipeline.fingerprint.sighting import Sighting
from pipeline.fingerprint.smbios import Structure, structures
from pipeline.lab.payload import GuestFunction, Report
from pipeline.pci import Address, IdPair

_NOBODY = (0, 0xFFFF)


def report(sighting: Sighting, ports: Sequence[tuple[int, int]]) -> Report:
    """The report of a boot that came to the payload's end; `ports` are the root ports as for the payload's script.

    Raises LabFault where the sighting has no tables of the firmware, or no config spaces.
    """
    for part in ("smbios/structures", "pci/"):
        if not any(name.startswith(part) for name in sighting.memory):
            why = "; ".join(f"{name}: {text}" for name, text in sighting.missing.items() if "memory" in name)
            raise LabFault(f"the guest's memory cannot be read: no {part.rstrip('/')} ({why})")
    bios, system = (_structure(sighting, kind) for kind in (0, 1))
    spaces = {
        Address.parse(name.removeprefix("pci/")): data
        for name, data in sighting.memory.items()
        if name.startswith("pci/")
    }
    return Report(
        complete=True,
        firmware=" ".join(filter(None, (_string(bios, 4), _string(bios, 5)))),
        machine=_string(system, 6),
        functions=tuple(_functions(spaces)),
        port_buses=tuple(_secondary_bus(spaces.get(Address(0, 0, *port), b"")) for port in ports),
    )


def _structure(sighting: Sighting, kind: int) -> Structure | None:
    data = sighting.memory.get("smbios/structures", b"")
    return next((one for one in structures(data) if one.kind == kind), None)


def _string(one: Structure | None, at: int) -> str:
    """The string whose number is at `at` (SMBIOS 3.7, 7.1 and 7.2); empty where there is none."""
    number = one.formatted[at] if one and at < len(one.formatted) else 0
    return one.string(number) if one and number else ""


def _functions(spaces: Mapping[Address, bytes]) -> Iterator[GuestFunction]:
    for address, data in sorted(spaces.items()):
        vendor = int.from_bytes(data[:2], "little")
        if len(data) >= 4 and vendor not in _NOBODY:
            yield GuestFunction(
                bus=address.bus,
                device=address.device,
                function=address.function,
                ids=IdPair(vendor, int.from_bytes(data[2:4], "little")),
            )


def _secondary_bus(space: bytes) -> int:
    """Of a bridge (PCI-to-PCI Bridge 1.2, 3.2.5); 0 where there is none."""
    return space[0x19] if len(space) > 0x19 else 0
