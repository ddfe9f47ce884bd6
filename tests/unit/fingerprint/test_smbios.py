from __future__ import annotations

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fingerprint.sighting import Sighting
from pipeline.fingerprint.smbios import Structure, read, structures

UUID = uuid.UUID("e28ce75a-5f20-5548-9469-9e8af7ba448a")
SYSTEM = bytes([1, 2, 3, 0]) + UUID.bytes_le + bytes([6, 0, 0])
END = bytes([127, 4, 0xFF, 0xFE, 0, 0])


def structure(kind: int, body: bytes, *strings: str, handle: int = 0x100) -> bytes:
    texts = b"".join(text.encode() + b"\0" for text in strings) or b"\0"
    return struct.pack("<BBH", kind, len(body) + 4, handle) + body + texts + b"\0"


def facts(*parts: bytes, entry: bytes = b"") -> dict[str, str]:
    memory = {"smbios/structures": b"".join(parts), "smbios/entry": entry}
    return dict(read(Sighting(qmp={}, hmp={}, serial="", memory=memory)).facts)


def test_the_system_s_strings_and_uuid() -> None:
    found = facts(structure(1, SYSTEM, "QEMU", "Standard PC", "pc-q35-9.2"), END)
    assert found["smbios/1/product"] == "Standard PC"
    assert found["smbios/1/version"] == "pc-q35-9.2"
    assert found["smbios/1/serial"] == "none"
    assert found["smbios/1/uuid"] == str(UUID)
    assert found["smbios/1/length"] == "27"


def test_a_type_that_is_not_known_is_a_digest_without_its_handle() -> None:
    one, other = (facts(structure(221, b"abcd", "x", handle=handle), END) for handle in (1, 2))
    assert one == other
    assert one["smbios/221/string 1"] == "x"
    assert one != facts(structure(221, b"abce", "x"), END)


def test_several_of_a_type_are_numbered() -> None:
    module = bytes(12) + bytes([1, 0]) + bytes(4)
    found = facts(structure(17, module, "DIMM 0"), structure(17, module, "DIMM 1"), END)
    assert (found["smbios/17/locator"], found["smbios/17#2/locator"]) == ("DIMM 0", "DIMM 1")


def test_a_short_structure_of_an_old_version_has_fewer_fields() -> None:
    found = facts(structure(1, SYSTEM[:4], "QEMU"), END)
    assert found["smbios/1/manufacturer"] == "QEMU"
    assert found["smbios/1/product"] == "string 2, which is not there"
    assert not found.keys() & {"smbios/1/uuid", "smbios/1/SKU"}


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (b"_SM_\0\x1f\x02\x08", "32-bit, 2.8"),
        (b"_SM3_\0\x18\x03\x00", "64-bit, 3.0"),
    ],
)
def test_the_entry_point(entry: bytes, text: str) -> None:
    assert facts(END, entry=entry)["smbios/entry point"] == text


def test_what_comes_after_the_end_is_not_read() -> None:
    assert [one.kind for one in structures(END + structure(1, SYSTEM))] == [127]


@pytest.mark.parametrize("data", [b"\x01\x03\0\0\0\0", b"\x01\x40\0\0\0\0", b"\x01\x04\0\0ab"])
def test_a_table_that_makes_no_sense_ends_there(data: bytes) -> None:
    assert list(structures(data)) == []


@given(
    st.integers(0, 126), st.binary(max_size=40), st.lists(st.text("abc ", min_size=1, max_size=5), max_size=4)
)
def test_what_was_written_is_read(kind: int, body: bytes, strings: list[str]) -> None:
    found, end = structures(structure(kind, body, *strings) + END)
    assert end.kind == 127
    assert found == Structure(
        kind=kind, formatted=struct.pack("<BBH", kind, len(body) + 4, 0x100) + body, strings=tuple(strings)
    )


@given(st.binary(max_size=300))
def test_any_table_is_read(data: bytes) -> None:
    found = list(structures(data))
    assert sum(len(one.formatted) for one in found) <= len(data)
