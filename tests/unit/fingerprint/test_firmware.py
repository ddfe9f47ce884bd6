from __future__ import annotations

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fingerprint.device_path import text
from pipeline.fingerprint.firmware import read
from pipeline.fingerprint.sighting import Sighting
from pipeline.fingerprint.variables import GLOBAL, Variable, variables
from tests.sightings import NAMES, sighting

AUTHENTICATED = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
PLAIN = uuid.UUID("ddcf3616-3275-4164-98b6-fe85707ffe7d")
OTHER = uuid.UUID("eb704011-1402-11d3-8e77-00a0c969723b")
PCI = bytes([2, 1, 12, 0]) + struct.pack("<II", 0x0A0341D0, 0) + bytes([1, 1, 6, 0, 3, 1, 1, 1, 6, 0, 0, 0])
END = bytes([0x7F, 0xFF, 4, 0])


def variable(
    name: str, data: bytes, guid: uuid.UUID = GLOBAL, *, state: int = 0x3F, plain: bool = False
) -> bytes:
    title = name.encode("utf-16-le") + b"\0\0"
    more = b"" if plain else bytes(28)
    head = struct.pack("<HBBI", 0x55AA, state, 0, 7) + more + struct.pack("<II", len(title), len(data))
    body = head + guid.bytes_le + title + data
    return body + b"\xff" * (-len(body) % 4)


def flash(*parts: bytes, kind: uuid.UUID = AUTHENTICATED) -> bytes:
    volume = bytes(40) + b"_FVH" + bytes(4) + struct.pack("<H", 72) + bytes(22)
    contents = b"".join(parts)
    store = kind.bytes_le + struct.pack("<IBBHI", 28 + len(contents) + 64, 0x5A, 0xFE, 0, 0)
    return volume + store + contents + b"\xff" * 4096


def option(title: str, path: bytes, active: int = 1) -> bytes:
    return struct.pack("<IH", active, len(path)) + title.encode("utf-16-le") + b"\0\0" + path + b"optional"


def facts(data: bytes) -> dict[str, str]:
    memory = {"firmware/variables": data}
    return dict(read(Sighting(qmp={}, hmp={}, serial="", memory=memory)).facts)


@pytest.mark.parametrize("kind", [AUTHENTICATED, PLAIN])
def test_variables_that_are_there(kind: uuid.UUID) -> None:
    plain = kind == PLAIN
    data = flash(
        variable("Lang", b"eng", plain=plain),
        variable("Gone", b"x", state=0x3C, plain=plain),
        variable("MTC", b"\1\0\0\0", OTHER, plain=plain),
        kind=kind,
    )
    assert variables(data) == (
        Variable(name="Lang", guid=GLOBAL, data=b"eng"),
        Variable(name="MTC", guid=OTHER, data=b"\1\0\0\0"),
    )


def test_a_variable_that_runs_out_of_the_store_is_not_there() -> None:
    whole = flash(variable("Lang", b"eng"), variable("Long", b"x" * 100))
    assert [one.name for one in variables(whole) or ()] == ["Lang", "Long"]
    assert [one.name for one in variables(whole.rstrip(b"\xff")[:-1]) or ()] == ["Lang"]


@pytest.mark.parametrize("data", [b"", b"\xff" * 4096, flash(kind=OTHER)])
def test_a_flash_without_a_store_is_said_to_be_one(data: bytes) -> None:
    assert variables(data) is None
    memory = {"firmware/variables": data}
    left_out = read(Sighting(qmp={}, hmp={}, serial="", memory=memory)).left_out
    assert left_out["firmware/variables"] == "the flash has no variable store"


def test_what_is_booted_in_its_order() -> None:
    found = facts(
        flash(
            variable("BootOrder", struct.pack("<HHH", 2, 0, 7)),
            variable("Boot0000", option("Shell", END, active=0)),
            variable("Boot0002", option("Disk ", PCI + END)),
            variable("Boot0003", option("Not in the order", END)),
            variable("Timeout", b"\3\0"),
            variable("MTC", b"\1\0\0\0", OTHER),
        )
    )
    assert found == {
        "firmware/boot/0": "Disk: PciRoot(0x0)/Pci(0x1,0x3)/Pci(0x0,0x0)",
        "firmware/boot/1": "Shell: , not active",
        "firmware/boot/2": "Boot0007, which is not there",
        "firmware/boot/timeout": "3 s",
        **{
            f"firmware/variables/{name}": "present"
            for name in ("Boot0000", "Boot0002", "Boot0003", "BootOrder", "Timeout", f"{OTHER}:MTC")
        },
    }


def test_the_counter_of_the_firmware_is_no_fact() -> None:
    assert facts(flash(variable("MTC", b"\1", OTHER))) == facts(flash(variable("MTC", b"\2", OTHER)))


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (bytes([3, 18, 10, 0, 1, 0, 0xFF, 0xFF, 0, 0]), "Sata(0x1,0xffff,0x0)"),
        (bytes([3, 5, 6, 0, 1, 2]), "USB(0x1,0x2)"),
        (bytes([4, 4, 10, 0]) + "\\EFI".encode("utf-16-le")[:6], "\\EF"),
        (bytes([1, 4, 20, 0]) + OTHER.bytes_le, f"VenHw({OTHER})"),
        (bytes([4, 6, 20, 0]) + OTHER.bytes_le, f"FvFile({OTHER})"),
        (bytes([2, 1, 12, 0]) + struct.pack("<II", 0x050141D0, 1), "Acpi(0x50141d0)(0x1)"),
        (bytes([9, 9, 6, 0, 1, 2]), "Path(9,9,0102)"),
        (bytes([1, 1, 5, 0, 1]), "Path(1,1,01)"),
    ],
)
def test_nodes_of_a_path(node: bytes, expected: str) -> None:
    assert text(node + END + node) == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_real_boot(name: str) -> None:
    found = read(sighting(name)).facts
    assert found["firmware/vendor"] == "Debian distribution of EDK II" or name.startswith("7.2")
    assert found["firmware/boot/0"].startswith("UEFI ")
    assert found["firmware/boot/0"].endswith(": PciRoot(0x0)/Pci(0x1,0x3)/Pci(0x0,0x0)")
    assert found["firmware/UEFI"].startswith("UEFI v2.70 (")


@given(st.binary(max_size=200))
def test_any_path_is_read(data: bytes) -> None:
    assert isinstance(text(data), str)


@given(st.binary(max_size=300), st.integers(0, 200))
def test_any_store_is_read(data: bytes, cut: int) -> None:
    whole = flash(variable("BootOrder", b"\0\0"), variable("Boot0000", option("a", PCI)))
    facts(whole[: 72 + cut] + data)
    found = variables(whole[: 72 + 28] + data)
    assert found is not None
    assert sum(len(one.data) for one in found) <= len(data)
