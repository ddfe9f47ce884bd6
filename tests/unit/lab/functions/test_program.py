"""The program's parts that need no device: on files that stand for a function's configuration space and BARs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.device import registers
from pipeline.lab.functions import program

NAME = "0000:01:00.0"
NUMBERS = {name: value for name, value in vars(registers).items() if name.isupper() and type(value) is int}
SPEC = {"vendor": 0x1002, "device": 0x67EF, "function": 0, "bar": 5, "offset": 0x1000}
NONE = "0x0000000000000000 0x0000000000000000 0x0000000000000000"
LINES = [
    "0x00000000c0000000 0x00000000c0001fff 0x000000000014220c",
    NONE,
    NONE,
    NONE,
    "0x0000000000006000 0x00000000000060ff 0x0000000000040101",
    "0x0000000080000000 0x0000000080001fff 0x0000000000040200",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(program, "_DEVICES", str(tmp_path))
    found = tmp_path / NAME
    found.mkdir()
    (found / "config").write_bytes(bytes(256))
    (found / "resource").write_text("".join(f"{line}\n" for line in LINES))
    for bar in (0, 5):
        (found / f"resource{bar}").write_bytes(bytes(0x2000))
    (found / "vendor").write_text("0x1002\n")
    (found / "device").write_text("0x67ef\n")
    return found


def function() -> program.Function:
    return program.Function(NAME, SPEC, NUMBERS, 0.1)


def test_a_driver_that_has_the_function_lets_go_of_it_first(folder: Path) -> None:
    (folder / "driver").mkdir()
    function()
    assert (folder / "driver/unbind").read_text() == NAME


def test_words_of_every_memory_bar_are_written_and_read(folder: Path) -> None:
    assert function().bars() == ["bars bars=2 words=18 wrong=0 "]
    kept = (folder / "resource0").read_bytes()
    assert kept[:4] != bytes(4)
    assert kept[-4:] != bytes(4)


def test_the_register_page_is_not_written_for_it(folder: Path) -> None:
    function().bars()
    assert (folder / "resource5").read_bytes()[0x1000:] == bytes(0x1000)


def test_two_bars_with_the_same_memory_behind_them_are_seen(folder: Path) -> None:
    (folder / "resource5").unlink()
    (folder / "resource5").symlink_to("resource0")
    [line] = function().bars()
    assert " wrong=3 bar=0 offset=0x0 " in line


def test_registers_that_do_not_answer_are_no_answer(folder: Path) -> None:
    with pytest.raises(program.NoAnswer, match="do not answer"):
        function().dma()


def test_a_function_is_found_by_ids_and_number(folder: Path) -> None:
    assert program.find(SPEC) == NAME
    assert program.find({**SPEC, "function": 1}) == ""
    assert program.find({**SPEC, "device": 0x67E0}) == ""


def test_what_has_no_capability_says_so(folder: Path) -> None:
    one = function()
    assert (one.intx(), one.msi(), one.reset()) == (["intx none=1"], ["msi none=1"], ["reset none=1"])


def test_a_capability_is_found_where_the_list_has_it(folder: Path) -> None:
    space = bytearray(256)
    space[0x34], space[0x50:0x52], space[0xA0:0xA2] = 0x50, b"\x01\xa0", b"\x05\x00"
    (folder / "config").write_bytes(space)
    assert program.Config(NAME).capability(0x05) == 0xA0
    assert program.Config(NAME).capability(0x10) == 0


@given(st.binary(min_size=256, max_size=256))
def test_any_list_of_capabilities_ends(space: bytes) -> None:
    config = program.Config.__new__(program.Config)
    config.read = lambda offset, size: int.from_bytes(space[offset : offset + size], "little")  # type: ignore[method-assign]
    assert config.capability(0x05) in range(256)


@given(st.binary(), st.data())
def test_the_first_byte_that_differs(data: bytes, draw: st.DataObject) -> None:
    assert program._differs(data, data) == -1
    if data:
        at = draw.draw(st.integers(0, len(data) - 1))
        assert program._differs(data, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) == at


def test_the_program_s_own_page_is_told_with_its_address() -> None:
    memory, address = program._own_page()
    assert len(memory) == 4096
    assert address % 4096 == 0
