from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.functions import dump
from pipeline.lab.functions.dump import SIZE, Dump, difference, read
from pipeline.lab.functions.script import MIRROR
from pipeline.pci import IdPair
from tests.function_texts import told

IDS = IdPair(0x1002, 0x67EF)
SPACE = bytes.fromhex("0210ef6707001000e500000300000000") + bytes(range(16, 256))


def changed(at: int, value: int) -> bytes:
    return SPACE[:at] + bytes([value]) + SPACE[at + 1 :]


def one(space: bytes, place: tuple[int, int] = (1, 0)) -> Dump:
    return Dump(mirror=MIRROR, spaces={place: space})


def test_each_boot_is_read_with_its_functions() -> None:
    other = bytes(SIZE)
    text = (
        told("first", {(1, 0): SPACE, (1, 1): other}) + "EFI stub: ...\n" + told("rebooted", {(1, 0): SPACE})
    )
    found = read(text)
    assert found == {
        "first": Dump(mirror=MIRROR, spaces={(1, 0): SPACE, (1, 1): other}),
        "rebooted": one(SPACE),
    }


def test_a_dump_without_its_end_is_not_there() -> None:
    assert read(told("first", {(1, 0): SPACE}).replace("DRYBOOT-CONFIG end", "")) == {}


def test_half_a_space_is_left_out() -> None:
    text = told("first", {(1, 0): SPACE})
    row = next(line for line in text.splitlines() if line.startswith("  E0100050"))
    assert read(text.replace(row, ""))["first"].spaces == {}


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    for prefix in ("", "DRYBOOT-CONFIG first\n"):
        read(prefix + text + "\nDRYBOOT-CONFIG end\n")


@given(st.binary(min_size=SIZE, max_size=SIZE), st.integers(1, 255), st.integers(0, 7))
def test_what_the_shell_told_comes_back(space: bytes, bus: int, function: int) -> None:
    assert read(told("first", {(bus, function): space}))["first"].spaces == {(bus, function): space}


def test_the_same_space_is_the_same() -> None:
    assert difference(one(SPACE), one(SPACE), IDS, 0) == (True, "221 bytes the same")


@given(st.integers(4, SIZE - 1))
def test_any_other_byte_is_a_difference_unless_software_writes_it(at: int) -> None:
    written = any(first <= at < end for first, end in dump.SOFTWARE.values())
    held, observed = difference(one(SPACE), one(changed(at, SPACE[at] ^ 0xFF)), IDS, 0)
    assert held is written
    if not written:
        assert observed.startswith(f"1 bytes differ, the first at {at:#04x}: ")


def test_all_ones_are_the_reset_bug() -> None:
    held, observed = difference(one(SPACE), one(b"\xff" * SIZE), IDS, 0)
    assert not held
    assert observed.startswith("did not come back after its reset")


def test_a_function_that_is_missing_did_not_come_back() -> None:
    assert "did not come back" in difference(one(SPACE), Dump(mirror=MIRROR, spaces={}), IDS, 0)[1]


def test_a_function_on_another_bus_has_moved() -> None:
    after = Dump(mirror=MIRROR, spaces={(2, 0): SPACE, (1, 0): b"\xff" * SIZE})
    assert difference(one(SPACE), after, IDS, 0) == (False, "moved from bus 01 to 02")


def test_a_boot_without_an_end_is_said_so() -> None:
    assert difference(one(SPACE), None, IDS, 0) == (False, "not told: the boot did not come to its end")


def test_a_function_that_was_never_there() -> None:
    assert not difference(one(SPACE), one(SPACE), IDS, 1)[0]
    assert not difference(one(SPACE), one(SPACE), IdPair(0x1002, 0xAAE0), 0)[0]


def test_another_place_of_configuration_space_is_told() -> None:
    before = read(told("first", {(1, 0): SPACE}, mirror=0xB0000000))["first"]
    held, observed = difference(before, before, IDS, 0)
    assert not held
    assert "0xb0000000" in observed
