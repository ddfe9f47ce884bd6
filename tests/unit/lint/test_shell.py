"""The programs that a command calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lint.shell import calls, has, option, program


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("mkinitcpio -P", [("mkinitcpio", "-P")]),
        ("sudo env A=1 B=2 mkinitcpio -P", [("mkinitcpio", "-P")]),
        ("a && b 'c d'; e | f || g &", [("a",), ("b", "c d"), ("e",), ("f",), ("g",)]),
        ("/bin/sh -c 'a; b c'", [("a",), ("b", "c")]),
        ("if a; then b; fi", [("if", "a"), ("b",), ("fi",)]),
        ("(a;b)", [("a",), ("b",)]),
        ("a 'b", []),
        ("", []),
        ("# a comment", []),
    ],
)
def test_calls(command: str, expected: list[tuple[str, ...]]) -> None:
    assert list(calls(command)) == expected


def test_a_shell_in_a_shell_ends() -> None:
    command = "x"
    for _ in range(6):
        command = f"sh -c {command!r}" if "'" not in command else f'sh -c "{command}"'
    assert all(isinstance(words, tuple) for words in calls(command))


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("x", "-o", "a"), "a"),
        (("x", "-oa"), "a"),
        (("x", "--output", "a"), "a"),
        (("x", "--output=a"), "a"),
        (("x", "--output"), ""),
        (("x", "--other=a"), None),
        (("-o", "a"), None),
    ],
)
def test_options(words: tuple[str, ...], value: str | None) -> None:
    assert option(words, "-o", "--output") == value
    assert has(words, "-o", "--output") is (value is not None)


def test_the_name_of_a_program() -> None:
    assert program(("/usr/bin/mkinitcpio", "-P")) == "mkinitcpio"
    assert program(()) == ""


@given(st.text(alphabet="abc'\";&|()$ \\\n\t=-#/", max_size=40))
def test_every_text_is_taken(text: str) -> None:
    for words in calls(text):
        assert words
        assert program(words) is not None
