from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.launcher import launcher

PAGE = 0x1000


def section(image: bytes) -> tuple[int, int, bytes]:
    """Where the only section is loaded, its size there, and its bytes in the file."""
    (start,) = struct.unpack_from("<I", image, 0x3C)
    assert image[start : start + 4] == b"PE\0\0"
    machine, count, _, _, _, optional, _ = struct.unpack_from("<HHIIIHH", image, start + 4)
    assert (machine, count) == (0x8664, 1)
    magic, entry = struct.unpack_from("<H14xI", image, start + 24)
    assert (magic, entry) == (0x20B, PAGE)
    (size_of_image,) = struct.unpack_from("<I", image, start + 24 + 56)
    (subsystem,) = struct.unpack_from("<H", image, start + 24 + 68)
    assert subsystem == 10
    name, size, address, raw, at = struct.unpack_from("<8sIIII", image, start + 24 + optional)
    assert name == b".text\0\0\0"
    assert (len(image), at % 0x200, raw % 0x200) == (at + raw, 0, 0)
    assert raw >= size
    assert size_of_image % PAGE == 0
    assert size_of_image >= address + size
    return address, size, image[at : at + raw]


def target(code: bytes, instruction: str) -> int:
    """Where the `lea` with these first bytes points to."""
    at = code.index(bytes.fromhex(instruction)) + 3
    return at + 4 + struct.unpack_from("<i", code, at)[0]


@given(st.binary(max_size=3000), st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=40))
def test_the_firmware_is_given_the_program_and_its_options(rest: bytes, options: str) -> None:
    program = b"MZ" + rest
    _, size, code = section(launcher(program, options))
    at = target(code, "4c 8d 0d")
    assert code[at : at + len(program)] == program
    assert at + len(program) == size
    assert struct.pack("<I", len(program)) in code[:0xA0]
    text = f"{options}\0".encode("utf-16-le")
    at = target(code, "48 8d 0d")
    assert code[at : at + len(text)] == text
    # mov dword [rax+0x30]: LoadOptionsSize counts bytes, the end too.
    assert bytes.fromhex("c7 40 30") + struct.pack("<I", len(text)) in code[:0xA0]


def test_every_error_ends_it_with_the_stack_as_it_was() -> None:
    _, _, code = section(launcher(b"MZ", ""))
    end = code.index(bytes.fromhex("48 83 c4 50 5f 5e 5b c3"))
    calls = [at for at in range(end) if code[at : at + 2] == b"\xff\x96"]
    services = [struct.unpack_from("<i", code, at + 2)[0] for at in calls]
    assert services == [0x98, 0xC8, 0x98, 0xD0]
    for at in calls:
        assert code[at + 6 : at + 11] == bytes.fromhex("48 85 c0 0f 85")
        assert at + 15 + struct.unpack_from("<i", code, at + 11)[0] == end


def test_what_is_no_program_is_not_started() -> None:
    with pytest.raises(ValueError, match="no EFI application"):
        launcher(b"#!/bin/sh", "")
