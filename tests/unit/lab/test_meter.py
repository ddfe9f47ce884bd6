"""The program that counts accesses: what a boot loader and a processor make of its bytes."""

from __future__ import annotations

import struct

from pipeline.lab import meter


def test_the_header_is_one_that_loaders_take() -> None:
    magic, flags, check, header, load, load_end, bss_end, entry = struct.unpack_from("<8I", meter.program())
    assert (magic, flags) == (0x1BADB002, 1 << 16)
    assert (magic + flags + check) & 0xFFFFFFFF == 0
    assert (header, load_end, bss_end) == (load, 0, 0)
    assert entry == load + 32


def test_every_loop_goes_back_to_its_first_access() -> None:
    code = meter.program()[32:]
    loops = [
        (place, place + 6 + struct.unpack_from("<i", code, place + 2)[0])
        for place in range(len(code) - 6)
        if code[place : place + 2] == b"\x0f\x85" and code[place - 1] == 0x49
    ]
    assert len(loops) == 3
    for _, target in loops:
        assert code[target - 5] == 0xB9, "right behind the number of turns"


def test_the_way_out_of_the_first_loop_is_the_end() -> None:
    code = meter.program()[32:]
    place = code.index(b"\x74\x05\xe9") + 2
    (distance,) = struct.unpack_from("<i", code, place + 1)
    assert code[place + 5 + distance :] == b"\x31\xc0\xe7\xf4\xf4\xeb\xfd"
