from __future__ import annotations

import io

from rich.console import Console

from pipeline.report import diff


def shown(old: str, new: str, *, file: str = "a", colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=40, force_terminal=colour, color_system="standard" if colour else None
    )
    diff.show(console, file, old, new)
    return stream.getvalue()


def test_it_is_a_unified_diff() -> None:
    assert shown("1\n2\n[b]x\n", "1\n2\n[b]y\n").splitlines() == [
        "--- a",
        "+++ a (mended)",
        "@@ -1,4 +1,4 @@",
        " 1",
        " 2",
        "-[b]x",
        "+[b]y",
        " ",
    ]


def test_lines_have_colours_on_a_terminal() -> None:
    text = shown("x\n", "y\n", colour=True)
    assert "\x1b[31m-x\x1b[0m" in text
    assert "\x1b[32m+y\x1b[0m" in text


def test_hostile_text_does_not_reach_the_terminal() -> None:
    text = shown("\x1b[2J\r\n", "\x07\n", file="\x1b")
    assert not {*text} & {"\x1b", "\x07", "\r"}
    assert "-\\x1b[2J" in text
