from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fingerprint.aml import objects
from pipeline.fingerprint.aml_data import Data, Reader, Wrong
from pipeline.fingerprint.notes import digest
from tests.sightings import NAMES, sighting


def package(data: bytes) -> bytes:
    """`data` with the PkgLength in front that counts itself too (ACPI 6.5, 20.2.4)."""
    if len(data) + 1 <= 0x3F:
        return bytes([len(data) + 1]) + data
    size = len(data) + 2
    assert size <= 0xFFF
    return bytes([0x40 | size & 0xF, size >> 4]) + data


def device(name: bytes, body: bytes = b"") -> bytes:
    return b"\x5b\x82" + package(name + body)


def named(name: bytes, value: bytes) -> bytes:
    return b"\x08" + name + value


def found(code: bytes) -> dict[str, str]:
    return dict(objects(code))


def test_devices_names_and_methods_by_their_scope() -> None:
    body = named(b"_HID", b"\x0c\x41\xd0\x0a\x08") + b"\x14" + package(b"_STA\x0b\xa4\x0a\x0f")
    code = b"\x10" + package(b"\\_SB_" + device(b"PCI0", body + device(b"S08_")))
    assert found(code) == {
        "_SB.PCI0": "Device",
        "_SB.PCI0._HID": "PNP0A08",
        "_SB.PCI0._STA": f"Method, 3 arguments, serialized, 3 bytes, {digest(bytes([0xA4, 0x0A, 0x0F]))}",
        "_SB.PCI0.S08": "Device",
    }


def test_a_long_scope_has_a_length_of_two_bytes() -> None:
    body = b"".join(named(b"AAA%c" % letter, b"\x00") for letter in range(0x41, 0x5A))
    assert len(found(device(b"LONG", body))) == 26


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\x00", "0x0"),
        (b"\x01", "0x1"),
        (b"\xff", "0xffffffffffffffff"),
        (b"\x0b\x34\x12", "0x1234"),
        (b"\x0e" + bytes(7) + b"\x80", "0x8000000000000000"),
        (b"\x0dACPI0006\0", '"ACPI0006"'),
        (b"\x11" + package(b"\x0a\x02\x79\x00"), f"buffer of 0x2 bytes, {digest(bytes([0x79, 0]))}"),
        (b"\x12" + package(b"\x03\x00\x0a\x05\\ABCD"), "package of 0x3: 0x0, 0x5, \\ABCD"),
        (b"\x12" + package(b"\x01\x12" + package(b"\x01\x00")), "package of 0x1: package of 0x1: 0x0"),
    ],
)
def test_values(value: bytes, text: str) -> None:
    assert found(named(b"NAME", value)) == {"NAME": text}


def test_a_long_package_is_a_digest() -> None:
    value = package(b"\x50" + b"\x0a\x07" * 80)
    assert found(named(b"_PRT", b"\x12" + value)) == {"_PRT": f"package of 0x50, {digest(value[2:])}"}


def test_regions_fields_mutexes_and_their_like() -> None:
    fields = b"\x01DBGB\x08"
    code = (
        b"\x5b\x80DBG_\x01\x0b\x02\x04\x01"
        + b"\x5b\x81"
        + package(b"DBG_" + fields)
        + b"\x5b\x01LOCK\x00"
        + b"\x5b\x02EVNT"
        + b"\x06\\AAAABBBB"
        + b"\x15CCCC\x08\x00"
        + b"\x5b\x83"
        + package(b"C000\x01\x10\x00\x00\x00\x06")
        + b"\x8a\\BUFF\x0a\x04FLD_"
    )
    assert found(code) == {
        "DBG": "region I/O 0x402, 0x1 bytes",
        "DBG(fields)": f"6 bytes, {digest(fields)}",
        "LOCK": "Mutex 0",
        "EVNT": "Event",
        "BBBB": "alias of \\AAAA",
        "C000": "Processor 011000000006",
        "FLD": "field of \\BUFF, 0x4",
    }


def test_code_between_the_objects_is_one_piece() -> None:
    branch = b"\x93\x60\x01\xa4\x00"
    assert found(device(b"DEV0", b"\xa0" + package(branch) + named(b"_UID", b"\x01"))) == {
        "DEV0": "Device",
        "DEV0.(if)": f"5 bytes, {digest(branch)}",
        "DEV0._UID": "0x1",
    }
    rest = b"\x70\x60\x61"
    assert found(named(b"_UID", b"\x01") + rest) == {"_UID": "0x1", "(code)": f"3 bytes, {digest(rest)}"}


def test_names_of_parents_and_of_the_root() -> None:
    code = device(b"AAAA", device(b"BBBB", named(b"^CCCC", b"\x00") + named(b"\\DDDD", b"\x00")))
    assert set(found(code)) == {"AAAA", "AAAA.BBBB", "AAAA.CCCC", "DDDD"}
    assert set(found(named(b"\x2eAAAABBBB", b"\x00") + named(b"\x2f\x03AAAABBBBCC__", b"\x00"))) == {
        "AAAA.BBBB",
        "AAAA.BBBB.CC",
    }


def test_scopes_without_end_are_left_out() -> None:
    code = b""
    for _ in range(60):
        code = device(b"DEEP", code)
    assert "scopes in each other" in found(code)[""]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_real_table_is_unknown(name: str) -> None:
    paths = found(sighting(name).memory["acpi/DSDT"][36:])
    assert len(paths) > 200
    assert not [path for path in paths if not path or path.endswith("(code)")]


@given(st.binary(max_size=300))
def test_any_code_is_read(code: bytes) -> None:
    assert all(isinstance(value, str) for _, value in objects(code))


@given(st.integers(0, 3000), st.binary(min_size=1, max_size=8))
def test_any_change_of_a_real_table_is_read(at: int, data: bytes) -> None:
    code = sighting(NAMES[0]).memory["acpi/DSDT"][36:]
    assert len(list(objects(code[:at] + data + code[at + len(data) :]))) > 0


@given(st.binary(max_size=40))
def test_a_reader_stays_inside_its_data(data: bytes) -> None:
    reader = Reader(data=data)
    with contextlib.suppress(Wrong):
        assert isinstance(reader.data_object(), Data)
    assert 0 <= reader.at <= len(data)
