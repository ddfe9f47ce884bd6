from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fingerprint import model
from pipeline.fingerprint.notes import LONGEST, MOST, Notes, amount, latin, number, plain


def test_a_path_that_is_taken_gets_a_number() -> None:
    notes = Notes(section="pci")
    for value in ("one", "two", "three"):
        notes.fact("a", value)
    assert notes.facts == {"pci/a": "one", "pci/a#2": "two", "pci/a#3": "three"}


def test_a_guest_cannot_make_facts_without_end() -> None:
    notes = Notes(section="acpi")
    for count in range(MOST + 5):
        notes.fact(str(count), count)
    assert len(notes.facts) == MOST
    assert notes.left_out == {"acpi": f"more than {MOST} facts"}


def test_the_section_itself_can_be_left_out() -> None:
    notes = Notes(section="acpi")
    notes.leave_out("", "not read")
    notes.leave_out("DSDT", "cut")
    assert notes.left_out == {"acpi": "not read", "acpi/DSDT": "cut"}


@given(st.text(max_size=700), st.text(max_size=700))
def test_whatever_the_guest_wrote_is_one_short_line_that_can_be_stored(path: str, value: str) -> None:
    notes = Notes(section="smbios")
    notes.fact(path, value)
    found = notes.fingerprint()
    assert model.read(found.text()) == found
    found.text().encode()
    assert all(len(text) <= LONGEST and text.isprintable() for text in found.facts.values())


def test_plain_says_that_it_cut() -> None:
    assert plain("x" * (LONGEST + 1)).endswith("x…")
    assert plain("x" * LONGEST) == "x" * LONGEST
    assert plain(" a\x1b[0m\n") == "a\ufffd[0m\ufffd"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (80, "80 bytes"),
        (1024, "1 KiB"),
        (1536, "1536 bytes"),
        (256 << 20, "256 MiB"),
        (1 << 40, "1 TiB"),
    ],
)
def test_amounts_are_exact(size: int, text: str) -> None:
    assert amount(size) == text


def test_numbers_and_texts_of_a_table() -> None:
    assert number(b"\x34\x12", 0, 2) == 0x1234
    assert number(b"\x34", 0, 2) == 0x34
    assert number(b"\x34", 5, 2) == 0
    assert latin(b"BXPC  \0\0") == "BXPC"
