from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.functions.report import Report, Told, read

# As it came over the serial line (ran).
SAID = """\
EFI stub: Loaded initrd from command line option\r
DRYBOOT-FN begin\r
DRYBOOT-FN 0 found at=0000:01:00.0\r
DRYBOOT-FN 0 bars bars=3 words=27 wrong=0 \r
DRYBOOT-FN 1 absent\r
DRYBOOT-FN 2 error test=intx [Errno 19] No such device\r
DRYBOOT-FN end\r
"""


def test_each_line_is_read() -> None:
    found = read(SAID)
    assert (found.began, found.complete) == (True, True)
    assert [(one.function, one.what) for one in found.told] == [
        (0, "found"),
        (0, "bars"),
        (1, "absent"),
        (2, "error"),
    ]
    bars = found.of(0, "bars")
    assert bars is not None
    assert (bars.number("words"), bars.number("wrong"), bars.number("no such")) == (27, 0, 0)


def test_an_error_is_that_of_its_test() -> None:
    found = read(SAID)
    assert found.error(2, "intx") == "[Errno 19] No such device"
    assert found.error(2, "msi") == ""
    assert found.error(0, "intx") == ""


def test_a_function_that_cannot_be_opened_fails_in_every_test() -> None:
    assert read("DRYBOOT-FN 0 error test=open no room").error(0, "msi") == "no room"


def test_a_program_that_stops_is_not_complete() -> None:
    found = read(SAID.replace("DRYBOOT-FN end", ""))
    assert (found.began, found.complete) == (True, False)


def test_what_the_kernel_says_before_a_line_is_cut_off() -> None:
    assert read("[    1.0] hm DRYBOOT-FN 0 absent").told == (Told(function=0, what="absent", fields={}),)


def test_numbers_are_hexadecimal_too_and_others_are_zero() -> None:
    told = Told(function=0, what="reset", fields={"ids": "0x67ef1002", "odd": "x"})
    assert (told.number("ids"), told.number("odd")) == (0x67EF1002, 0)


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    read(text)
    assert isinstance(read(f"DRYBOOT-FN {text}"), Report)
