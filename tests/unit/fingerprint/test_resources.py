from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fingerprint.aml import objects
from pipeline.fingerprint.notes import LONGEST
from pipeline.fingerprint.resources import items
from tests.sightings import sighting

END = b"\x79\x00"


def space(kind: int, form: str, first: int, last: int, size: int) -> bytes:
    """An address space descriptor of the large type `kind`; `form` is the format of a number in it."""
    body = bytes([0, 0x0C, 3]) + struct.pack(f"<5{form}", 0, first, last, 0, size)
    return bytes([0x80 | kind]) + struct.pack("<H", len(body)) + body


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (b"\x22\x10\x00", "IRQ 4"),
        (b"\x23\x00\x06\x18", "IRQ 9 10 flags 0x18"),
        (b"\x2a\x04\x00", "DMA 2"),
        (b"\x47\x01\xf8\x0c\xf8\x0c\x01\x08", "I/O 0xcf8, 8 bytes"),
        (b"\x47\x01\x00\x01\x00\x03\x08\x08", "I/O 0x100 to 0x300, 8 bytes"),
        (b"\x4b\xb2\x00\x02", "I/O 0xb2, 2 bytes"),
        (b"\x86\x09\x00\x01\x00\x00\xd0\xfe\x00\x04\x00\x00", "memory 0xfed00000, 0x400 bytes"),
        (b"\x86\x09\x00\x00\x00\x00\xd0\xfe\x00\x04\x00\x00", "memory 0xfed00000, 0x400 bytes read-only"),
        (b"\x89\x06\x00\x01\x01\x10\x00\x00\x00", "interrupt 16 flags 0x1"),
        (space(0x07, "I", 0x80000000, 0xDFFFFFFF, 0x60000000),
         "memory 0x80000000-0xdfffffff (c/3)"),
        (space(0x0A, "Q", 1 << 39, (1 << 40) - 1, 1 << 39),
         "memory 0x8000000000-0xffffffffff (c/3)"),
    ],
)  # fmt: skip
def test_items(item: bytes, expected: str) -> None:
    assert items(item + END + item) == (expected,)
    assert items(item + item + END) == (expected, expected)


@pytest.mark.parametrize("data", [b"", b"\x22\x10\x00", b"\x22\x10", b"\x86\x09\x00\x01", b"\x71\x00" + END])
def test_what_has_no_end_or_is_not_known_is_no_template(data: bytes) -> None:
    assert items(data) is None


def test_the_windows_of_a_real_host_bridge() -> None:
    seen = sighting("10.0-pc-q35-9.2")
    found = dict(objects(seen.memory["acpi/DSDT"][36:]))
    windows = found["_SB.PCI0._CRS"].split("; ")
    assert len(windows) == 8
    assert windows[:2] == ["bus 0x0-0xff (c/0)", "I/O 0xcf8, 8 bytes"]
    assert found["_SB.PCI0.FWCF._CRS"] == "I/O 0x510, 12 bytes"
    assert not [path for path, value in found.items() if path.endswith("_CRS") and value.startswith("buffer")]


def test_an_empty_template_has_no_items() -> None:
    assert items(END) == ()


def test_a_template_that_is_too_long_to_be_kept_has_its_digest_in_front() -> None:
    def value(last: bytes) -> str:
        item = b"\x47\x01\xf8\x0c\xf8\x0c\x01\x08"
        template = item * 40 + b"\x4b\xb2\x00" + last + END
        buffer = b"\x0b" + struct.pack("<H", len(template)) + template
        size = len(buffer) + 2
        return dict(objects(b"\x08_CRS\x11" + bytes([0x40 | size & 0xF, size >> 4]) + buffer))["_CRS"]

    assert value(b"\x01")[16:40] == ": I/O 0xcf8, 8 bytes; I/"
    assert value(b"\x01")[:LONGEST] != value(b"\x02")[:LONGEST]


@given(st.binary(max_size=60))
def test_anything_is_a_template_or_none(data: bytes) -> None:
    found = items(data)
    assert found is None or all(found)
