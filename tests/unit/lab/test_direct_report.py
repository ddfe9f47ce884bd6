from __future__ import annotations

import pytest

from pipeline.errors import LabFault
from pipeline.fingerprint.sighting import Sighting
from pipeline.lab.direct_report import report
from pipeline.lab.payload import GuestFunction, Report
from pipeline.pci import IdPair


def structure(kind: int, strings: tuple[bytes, ...], places: dict[int, int]) -> bytes:
    formatted = bytearray([kind, 27, 0, 0, *bytes(23)])
    for at, number in places.items():
        formatted[at] = number
    return bytes(formatted) + b"\0".join((*strings, b"")) + b"\0"


BIOS = structure(0, (b"EDK II", b"2025.02"), {4: 1, 5: 2})
SYSTEM = structure(1, (b"QEMU", b"pc-q35-9.2"), {4: 1, 6: 2})
PORT = bytes.fromhex("361b0c00").ljust(0x18, b"\0") + bytes([0, 3, 3, 0])
CARD = bytes.fromhex("0210ef67").ljust(256, b"\0")
MEMORY = {
    "smbios/structures": BIOS + SYSTEM,
    "pci/00:01.0": PORT,
    "pci/03:00.0": CARD,
    "pci/03:00.1": b"\xff" * 256,
}


def seen(memory: dict[str, bytes]) -> Sighting:
    return Sighting(qmp={}, hmp={}, serial="", memory=memory, missing={"memory/acpi": "no RSDP", "x": "y"})


def test_it_is_what_the_payload_would_say() -> None:
    assert report(seen(MEMORY), [(1, 0), (1, 1)]) == Report(
        complete=True,
        firmware="EDK II 2025.02",
        machine="pc-q35-9.2",
        functions=(
            GuestFunction(bus=0, device=1, function=0, ids=IdPair(0x1B36, 0x000C)),
            GuestFunction(bus=3, device=0, function=0, ids=IdPair(0x1002, 0x67EF)),
        ),
        port_buses=(3, 0),
    )


def test_what_the_firmware_does_not_say_is_empty() -> None:
    found = report(seen({"smbios/structures": structure(1, (), {6: 0}), "pci/00:00.0": b"\0" * 256}), [])
    assert (found.firmware, found.machine, found.functions) == ("", "", ())


@pytest.mark.parametrize("part", ["smbios/structures", "pci"])
def test_what_cannot_be_read_is_no_verdict(part: str) -> None:
    memory = {name: data for name, data in MEMORY.items() if not name.startswith(part)}
    with pytest.raises(LabFault, match=f"cannot be read: no {part} .*no RSDP"):
        report(seen(memory), [])
