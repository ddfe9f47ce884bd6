"""Configuration space: what a guest reads, and what its writes may change."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.device.config_space import SIZE, ConfigSpace
from pipeline.lab.device.function import Bar, BarKind, FunctionSpec

# As `lspci -xxxx` prints them, without the lines of zeros.
RX560 = """\
00: 02 10 ef 67 00 00 10 00 e5 00 00 03 00 00 80 00
10: 0c 00 00 00 00 00 00 00 0c 00 00 00 00 00 00 00
20: 01 00 00 00 00 00 00 00 00 00 00 00 8c 14 85 23
30: 00 00 00 00 50 00 00 00 00 00 00 00 00 01 00 00
50: 01 58 03 00 00 00 00 00 10 a0 12 00 01 80 00 10
60: 10 28 00 00 03 0d 40 00 00 00 03 01 00 00 00 00
a0: 05 00 80 00 00 00 00 00 00 00 00 00 00 00 00 00
"""
RX560_AUDIO = """\
00: 02 10 e0 aa 00 00 10 00 00 00 03 04 00 00 80 00
10: 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
20: 00 00 00 00 00 00 00 00 00 00 00 00 8c 14 e0 aa
30: 00 00 00 00 50 00 00 00 00 00 00 00 00 02 00 00
50: 01 58 03 00 00 00 00 00 10 a0 12 00 01 80 00 10
60: 10 28 00 00 03 0d 40 00 00 00 03 01 00 00 00 00
a0: 05 00 80 00 00 00 00 00 00 00 00 00 00 00 00 00
"""
# Offset, bytes and writable bits of the RX 560.
WRITABLE = (
    (0x04, 2, 0x0547),
    (0x0C, 1, 0xFF),
    (0x10, 4, 0xF0000000),
    (0x14, 4, 0xFFFFFFFF),
    (0x18, 4, 0xFFE00000),
    (0x1C, 4, 0xFFFFFFFF),
    (0x20, 4, 0xFFFFFF00),
    (0x24, 4, 0xFFFC0000),
    (0x3C, 1, 0xFF),
    (0x54, 2, 0x0003),
    (0x60, 2, 0x7FFF),
    (0x68, 2, 0x01CB),
    (0xA2, 2, 0x0071),
    (0xA4, 4, 0xFFFFFFFC),
    (0xA8, 4, 0xFFFFFFFF),
    (0xAC, 2, 0xFFFF),
)
BARS = [
    *((BarKind.IO, bits) for bits in range(2, 9)),
    *((BarKind.MEM32, bits) for bits in range(4, 32)),
    *((kind, bits) for kind in (BarKind.MEM64, BarKind.MEM64_PREFETCHABLE) for bits in range(4, 41)),
]
WRITES = st.lists(
    st.tuples(st.integers(0, 0x100) | st.integers(0, SIZE - 1), st.binary(min_size=1, max_size=64)),
    max_size=20,
)
BARE = FunctionSpec(
    name="bare",
    vendor_id=0x1234,
    device_id=0x11E8,
    class_code=0x00FF00,
    subsystem_vendor_id=0,
    subsystem_id=0,
    revision=0,
    bars=(),
    interrupt_pin=0,
    multifunction=False,
    msi_vectors=0,
)


def dump(space: ConfigSpace) -> str:
    lines = []
    for offset in range(0, SIZE, 16):
        row = space.read(offset, 16)
        if any(row):
            lines.append(f"{offset:02x}: {row.hex(' ')}\n")
    return "".join(lines)


def number(space: ConfigSpace, offset: int, size: int) -> int:
    return int.from_bytes(space.read(offset, size), "little")


def capabilities(space: ConfigSpace) -> dict[int, int]:
    """Each capability's offset by its id, walked as a guest walks them."""
    found: dict[int, int] = {}
    offset = number(space, 0x34, 1)
    while offset:
        assert offset % 4 == 0
        assert 0x40 <= offset < 0x100
        assert offset not in found.values(), "a loop"
        found[number(space, offset, 1)] = offset
        offset = number(space, offset + 1, 1)
    return found


def write_any(space: ConfigSpace, writes: list[tuple[int, bytes]]) -> None:
    for offset, data in writes:
        space.write(offset, data[: SIZE - offset])


def test_the_rx560_as_lspci_prints_it(gpu: FunctionSpec) -> None:
    assert dump(ConfigSpace(gpu)) == RX560


def test_its_audio_as_lspci_prints_it(audio: FunctionSpec) -> None:
    assert dump(ConfigSpace(audio)) == RX560_AUDIO


@pytest.mark.parametrize(("kind", "bits"), BARS)
def test_a_bar_tells_its_size_and_kind(kind: BarKind, bits: int) -> None:
    size = 1 << bits
    space = ConfigSpace(dataclasses.replace(BARE, bars=(Bar(index=2, size=size, kind=kind),)))
    low_bits = 0x3 if kind is BarKind.IO else 0xF
    wide = 8 if kind.wide else 4
    space.write(0x18, b"\xff" * wide)
    answer = number(space, 0x18, wide)
    assert answer & low_bits == kind.flags
    assert (~answer | low_bits) + 1 & (1 << 8 * wide) - 1 == size
    assert space.read(0x10, 8) == bytes(8)
    assert space.read(0x18 + wide, 0x28 - 0x18 - wide) == bytes(0x10 - wide)


@given(st.sampled_from(BARS), st.integers(0, (1 << 64) - 1))
def test_a_bar_keeps_the_address_it_is_given(bar: tuple[BarKind, int], address: int) -> None:
    kind, bits = bar
    space = ConfigSpace(dataclasses.replace(BARE, bars=(Bar(index=0, size=1 << bits, kind=kind),)))
    wide = 8 if kind.wide else 4
    address &= -(1 << bits) & (1 << 8 * wide) - 1
    space.write(0x10, address.to_bytes(wide, "little"))
    assert number(space, 0x10, wide) == address | kind.flags


@given(WRITES)
def test_no_write_changes_a_read_only_bit(gpu: FunctionSpec, writes: list[tuple[int, bytes]]) -> None:
    space = ConfigSpace(gpu)
    mask = bytearray(SIZE)
    for offset, size, bits in WRITABLE:
        mask[offset : offset + size] = bits.to_bytes(size, "little")
    fresh = space.read(0, SIZE)
    write_any(space, writes)
    fixed = [value & ~bits for value, bits in zip(space.read(0, SIZE), mask, strict=True)]
    assert fixed == [value & ~bits for value, bits in zip(fresh, mask, strict=True)]


def test_every_writable_bit_can_be_written(gpu: FunctionSpec) -> None:
    space = ConfigSpace(gpu)
    fresh = space.read(0, SIZE)
    space.write(0, b"\xff" * SIZE)
    for offset, size, bits in WRITABLE:
        assert number(space, offset, size) & bits == bits, hex(offset)
    space.write(0, bytes(SIZE))
    assert space.read(0, SIZE) == fresh[:0x60] + bytes(2) + fresh[0x62:]


@given(WRITES)
def test_a_reset_brings_everything_back(gpu: FunctionSpec, writes: list[tuple[int, bytes]]) -> None:
    space = ConfigSpace(gpu)
    write_any(space, writes)
    space.reset()
    assert space.read(0, SIZE) == ConfigSpace(gpu).read(0, SIZE)


@given(WRITES, st.sampled_from([0, 1, 2, 4, 8, 16, 32]), st.booleans())
def test_the_chain_of_capabilities_ends_and_is_aligned(
    writes: list[tuple[int, bytes]], vectors: int, flr: bool
) -> None:
    space = ConfigSpace(dataclasses.replace(BARE, msi_vectors=vectors, flr=flr))
    write_any(space, writes)
    assert number(space, 0x06, 2) & 0x10
    assert set(capabilities(space)) == ({0x01, 0x10, 0x05} if vectors else {0x01, 0x10})


@pytest.mark.parametrize("vectors", [1, 2, 4, 8, 16, 32])
def test_msi_tells_how_many_vectors_there_are(vectors: int) -> None:
    space = ConfigSpace(dataclasses.replace(BARE, msi_vectors=vectors))
    control = number(space, capabilities(space)[0x05] + 2, 2)
    assert 1 << (control >> 1 & 0x7) == vectors
    assert control & 0x80, "64-bit addresses"


@pytest.mark.parametrize(("before", "size"), [(1, 1), (0, 2), (0, 4), (8, 16)])
@pytest.mark.parametrize("flr", [True, False])
def test_a_function_level_reset_is_asked_for_only_where_it_is_offered(
    flr: bool, before: int, size: int
) -> None:
    space = ConfigSpace(dataclasses.replace(BARE, flr=flr))
    express = capabilities(space)[0x10]
    assert bool(number(space, express + 4, 4) & 1 << 28) is flr
    start = express + 8 + (before if size == 1 else -before)
    data = bytearray(size)
    data[express + 9 - start] = 0x80
    assert space.write(start, bytes(data)) is flr
    assert number(space, express + 8, 2) & 0x8000 == 0, "it reads as zero"


def test_other_writes_ask_for_no_reset(gpu: FunctionSpec) -> None:
    space = ConfigSpace(gpu)
    assert not space.write(0x60, struct.pack("<H", 0x7FFF))
    assert not space.write(0, b"\xff" * 0x60)
    assert not space.write(0x62, b"\xff" * 64)


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, 0), (SIZE, 1), (SIZE - 1, 2), (0, SIZE + 1)])
def test_an_access_outside_is_refused(gpu: FunctionSpec, offset: int, size: int) -> None:
    space = ConfigSpace(gpu)
    with pytest.raises(ValueError, match="outside"):
        space.read(offset, size)
    with pytest.raises(ValueError, match="outside"):
        space.write(offset, bytes(size))


@pytest.mark.parametrize(("integrated", "kind"), [(False, 1), (True, 0)])
def test_an_integrated_function_is_an_endpoint_of_the_kind_that_qemu_turns_into_one(
    integrated: bool, kind: int
) -> None:
    space = ConfigSpace(dataclasses.replace(BARE, integrated=integrated))
    assert number(space, capabilities(space)[0x10] + 2, 2) >> 4 & 0xF == kind
