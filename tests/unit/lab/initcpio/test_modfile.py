"""Modules as they go into an image: an ELF file is written here section by section, and read again."""

from __future__ import annotations

import lzma
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.initcpio.modfile import unpacked

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")
MAGIC = b"\x7fELF\x02\x01".ljust(16, b"\0")
PROGBITS, ALLOCATED, EXECUTABLE = 1, 2, 4
SIGNATURE = b"a signature" + struct.pack(">8BI", *range(8), 11) + b"~Module signature appended~\n"
LEFT_OUT = (
    "__mcount_loc",
    "__ignore_loc",
    ".orc_unwind",
    ".orc_unwind_ip",
    ".BTF",
    ".BTF.base",
    ".call_sites",
)


def module(*names: str) -> bytes:
    """A module with a section of each name, holding the name, and the table of names at the end."""
    contents = b"".join(name.encode() for name in names)
    table = b"\0" + b"".join(name.encode() + b"\0" for name in names) + b".shstrtab\0"
    start = HEADER.size + len(contents) + len(table)
    rows, place, label = [bytes(SECTION.size)], HEADER.size, 1
    for name in names:
        flags = ALLOCATED | EXECUTABLE
        rows.append(SECTION.pack(label, PROGBITS, flags, 0, place, len(name.encode()), 0, 0, 1, 0))
        place, label = place + len(name.encode()), label + len(name.encode()) + 1
    rows.append(SECTION.pack(label, 3, 0, 0, HEADER.size + len(contents), len(table), 0, 0, 1, 0))
    sizes = (HEADER.size, 0, 0, SECTION.size, len(rows), len(rows) - 1)
    return HEADER.pack(MAGIC, 1, 62, 1, 0, 0, start, 0, *sizes) + contents + table + b"".join(rows)


def sections(data: bytes) -> list[tuple[str, int, bytes]]:
    """Name, flags and contents of each section."""
    _, _, _, _, _, _, start, _, _, _, _, size, count, names = HEADER.unpack_from(data)
    rows = [SECTION.unpack_from(data, start + number * size) for number in range(count)]
    strings = data[rows[names][4] :]
    return [
        (strings[row[0] : strings.index(b"\0", row[0])].decode(), row[2], data[row[4] : row[4] + row[5]])
        for row in rows
    ]


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_a_module_runs_without_has_no_name_and_is_not_loaded(name: str) -> None:
    before, after = (
        sections(module(".text", name, ".data")),
        sections(unpacked(module(".text", name, ".data"))),
    )
    assert after[2] == ("", EXECUTABLE, name.encode())
    assert [*after[:2], *after[3:]] == [*before[:2], *before[3:]]


@given(
    st.lists(
        st.sampled_from((*LEFT_OUT, ".text", ".orc_header", ".rela.orc_unwind", ".BTF_ids", "")), max_size=6
    )
)
def test_everything_else_stays_where_it_is(names: list[str]) -> None:
    before, after = module(*names), unpacked(module(*names))
    assert len(after) == len(before)
    for (name, flags, contents), now in zip(sections(before), sections(after), strict=True):
        assert now == (("", flags & ~ALLOCATED, contents) if name in LEFT_OUT else (name, flags, contents))


@pytest.mark.parametrize("pack", [bytes, lzma.compress])
@pytest.mark.parametrize("signature", [b"", SIGNATURE])
def test_compression_and_signature_are_gone(pack, signature: bytes) -> None:
    plain = module(".text")
    assert unpacked(pack(plain + signature)) == plain


def test_headers_that_point_astray_are_said() -> None:
    whole = module(".text", ".BTF")
    with pytest.raises(ValueError, match="damaged module"):
        unpacked(whole[: -SECTION.size])


def test_what_is_no_module_stays_as_it_is() -> None:
    assert unpacked(b"not a module .BTF\0") == b"not a module .BTF\0"
