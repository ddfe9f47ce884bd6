from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from pipeline.fingerprint.capabilities import Capability, conventional, extended


def config(*pieces: tuple[int, bytes], first: int = 0x40, size: int = 4096) -> bytes:
    """A config space with a list of capabilities that begins at `first`."""
    data = bytearray(size)
    data[6], data[0x34] = 0x10, first
    for at, piece in pieces:
        data[at : at + len(piece)] = piece
    return bytes(data)


def facts(found: Capability) -> dict[str, object]:
    return dict(found.facts)


def test_msi_and_msi_x() -> None:
    msi = struct.pack("<BBH", 0x05, 0x50, 0x80 | 2 << 1)
    msix = struct.pack("<BBHII", 0x11, 0, 15, 0x3003, 0x3804)
    first, second = conventional(config((0x40, msi), (0x50, msix)))
    assert facts(first) == {"": "at 0x40", "vectors": 4, "addresses": "64-bit", "maskable": False}
    assert facts(second) == {
        "": "at 0x50", "vectors": 16, "table": "BAR 3 at 0x3000", "pending bits": "BAR 4 at 0x3800",
    }  # fmt: skip


def test_a_pcie_endpoint_with_flr_and_its_link() -> None:
    body = bytearray(0x3C)
    struct.pack_into("<BBHI", body, 0, 0x10, 0, 0x0002, 1 << 28 | 1)
    struct.pack_into("<I", body, 12, 0x08 << 4 | 3)
    struct.pack_into("<H", body, 18, 0x01 << 4 | 1)
    (found,) = conventional(config((0x40, bytes(body))))
    assert found.name == "PCIe"
    assert facts(found)["FLR"] is True
    assert facts(found)["kind"] == "endpoint"
    assert facts(found)["max payload"] == "256 bytes"
    assert facts(found)["link at most"] == "8 GT/s x8"
    assert facts(found)["link"] == "2.5 GT/s x1"
    assert "slot capabilities" not in facts(found)


def test_an_integrated_endpoint_has_no_link() -> None:
    (found,) = conventional(config((0x40, struct.pack("<BBH", 0x10, 0, 0x0092))))
    assert facts(found)["kind"] == "integrated endpoint"
    assert "link" not in facts(found)


def test_power_management() -> None:
    (found,) = conventional(config((0x40, struct.pack("<BBHH", 0x01, 0, 0x4803, 8))))
    assert facts(found) == {"": "at 0x40", "version": 3, "PME from": "D0 D3", "no soft reset": True}


def test_extended_capabilities_with_a_serial_number_and_acs() -> None:
    serial = struct.pack("<IQ", 0x0003 | 1 << 16 | 0x140 << 20, 0x525400FFFFA3D7DE)
    acs = struct.pack("<IH", 0x000D | 1 << 16, 0x5F)
    first, second = extended(config((0x100, serial), (0x140, acs)))
    assert (first.name, facts(first)["number"]) == ("serial number", "525400ffffa3d7de")
    assert facts(second) == {"": "at 0x140, version 1", "capabilities": "0x005f"}


def test_a_conventional_function_has_no_extended_ones() -> None:
    assert list(extended(config(size=256))) == []
    assert list(extended(config((0x100, b"\xff" * 64)))) == []


def test_no_list_without_the_bit_for_it() -> None:
    data = bytearray(config((0x40, b"\x05\x00")))
    data[6] = 0
    assert list(conventional(bytes(data))) == []


def test_a_circle_ends() -> None:
    first, second = conventional(config((0x40, b"\x09\x50\x08"), (0x50, b"\x09\x40\x08")))
    assert (first.at, second.at) == (0x40, 0x50)
    assert [one.at for one in extended(config((0x100, struct.pack("<I", 0x0D | 0x100 << 20))))] == [0x100]


@given(st.binary(max_size=600), st.integers(0, 255))
def test_any_config_space_is_read(data: bytes, first: int) -> None:
    space = config((0, data), size=max(len(data), 64))
    space = space[:0x34] + bytes([first]) + space[0x35:]
    found = [*conventional(space), *extended(space)]
    assert len(found) <= 64 + 1024
    assert all(0x40 <= one.at < len(space) for one in found)
