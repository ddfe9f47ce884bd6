from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.fingerprint.acpi import normal, read
from pipeline.fingerprint.acpi_fields import fields
from pipeline.fingerprint.sighting import Sighting
from tests.sightings import sighting

REAL = sighting("10.0-pc-q35-9.2")


def table(signature: str, body: bytes = b"", *, revision: int = 1, oem_table: bytes = b"BXPC") -> bytes:
    head = struct.pack("<4sIBB", signature.encode(), 36 + len(body), revision, 0x77)
    return head + b"BOCHS " + oem_table.ljust(8) + struct.pack("<I4sI", 1, b"BXPC", 2) + body


def facts(**tables: bytes) -> dict[str, str]:
    memory = {f"acpi/{name}": data for name, data in tables.items()}
    return dict(read(Sighting(qmp={}, hmp={}, serial="", memory=memory)).facts)


def test_the_header_of_a_table() -> None:
    assert facts(WAET=table("WAET", struct.pack("<I", 2), revision=3)) == {
        "acpi/WAET/length": "40",
        "acpi/WAET/revision": "3",
        "acpi/WAET/OEM": "BOCHS BXPC 1",
        "acpi/WAET/creator": "BXPC 0x2",
        "acpi/WAET/flags": "0x2",
        "acpi/WAET/digest": facts(WAET=table("WAET", struct.pack("<I", 2), revision=3))["acpi/WAET/digest"],
    }


@pytest.mark.parametrize(
    ("kind", "at"),
    [("FACP", 9), ("FACP", 36), ("FACP", 40), ("FACP", 132), ("FACP", 147), ("RSDP", 8), ("RSDP", 16), ("RSDP", 24),
     ("RSDP", 32), ("FACS", 24), ("BGRT", 41)],
)  # fmt: skip
def test_where_a_table_lies_is_no_part_of_the_digest(kind: str, at: int) -> None:
    data = bytearray(range(256))
    data[at] ^= 0xFF
    assert normal(kind, bytes(data)) == normal(kind, bytes(range(256)))


@pytest.mark.parametrize(("kind", "at"), [("FACP", 44), ("FACP", 8), ("RSDP", 9), ("FACS", 9), ("DSDT", 36)])
def test_everything_else_is(kind: str, at: int) -> None:
    data = bytearray(range(256))
    data[at] ^= 0xFF
    assert normal(kind, bytes(data)) != normal(kind, bytes(range(256)))


def test_several_of_a_signature_have_the_oem_s_table_id_in_their_name() -> None:
    one, other = table("SSDT", oem_table=b"NVDIMM"), table("SSDT", oem_table=b"CPUTAB")
    found = facts(**{"SSDT": one, "SSDT#2": other, "SSDT#3": one, "XSDT": table("XSDT")})
    assert found["acpi/tables"] == "SSDT (CPUTAB) SSDT (NVDIMM) SSDT (NVDIMM)#2"
    assert found["acpi/SSDT (NVDIMM)/length"] == found["acpi/SSDT (NVDIMM)#2/length"] == "36"


def test_processors_and_interrupt_controllers() -> None:
    entries = (
        bytes([0, 8, 0, 0, 1, 0, 0, 0]),
        bytes([0, 8, 1, 2, 0, 0, 0, 0]),
        struct.pack("<BBBBII", 1, 12, 5, 0, 0xFEC00000, 24),
        struct.pack("<BBBBIH", 2, 10, 0, 9, 9, 13),
        bytes([4, 6, 0xFF, 0, 0, 1]),
    )
    found = dict(fields("APIC", table("APIC", struct.pack("<II", 0xFEE00000, 1) + b"".join(entries))))
    assert found == {
        "local APIC address": "0xfee00000",
        "flags": "0x1",
        "IO APIC 5": "0xfec00000, from 24",
        "override 9": "9, high level",
        "NMI": "ff000001",
        "local APICs": "0 2 (off)",
    }


def test_the_ecam_and_the_timer() -> None:
    segment = struct.pack("<8xQHBBI", 0xE0000000, 0, 0, 255, 0)
    assert dict(fields("MCFG", table("MCFG", segment))) == {"segment 0": "0xe0000000, buses 00-ff"}
    timer = struct.pack("<IBBBBQBH", 0x8086A201, 0, 64, 0, 0, 0xFED00000, 0, 0x80)
    found = dict(fields("HPET", table("HPET", timer)))
    assert found["address"] == "memory 0xfed00000, 64 bits"
    assert found["minimum tick"] == 0x80


def test_the_fadt_of_a_real_boot() -> None:
    found = dict(fields("FACP", REAL.memory["acpi/FACP"]))
    assert found["PM timer"] == "0x608"
    assert found["reset register"] == "I/O 0xcf9, 8 bits"


def test_no_table_is_said_with_the_reason() -> None:
    seen = Sighting(qmp={}, hmp={}, serial="", missing={"memory": "the shell did not say"})
    assert read(seen).left_out == {"acpi": "the shell did not say"}


@given(
    st.sampled_from(["FACP", "APIC", "MCFG", "HPET", "WAET", "FACS"]),
    st.binary(max_size=200),
    st.integers(0, 80),
)
def test_any_table_is_decoded(kind: str, body: bytes, cut: int) -> None:
    data = table(kind, body)
    assert len(list(fields(kind, data))) < 300
    assert len(list(fields(kind, data[:cut]))) < 300


@given(st.sampled_from(["acpi/DSDT", "acpi/APIC", "acpi/FACP"]), st.integers(9, 200), st.integers(1, 255))
def test_a_changed_byte_is_seen(piece: str, at: int, change: int) -> None:
    whole = REAL.memory[piece]
    at %= len(whole)
    data = bytes([*whole[:at], whole[at] ^ change, *whole[at + 1 :]])
    kind = piece.removeprefix("acpi/")
    assume(normal(kind, data) != normal(kind, whole))
    assert read(replace(REAL, memory={**REAL.memory, piece: data})).facts != read(REAL).facts
