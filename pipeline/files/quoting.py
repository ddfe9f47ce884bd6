"""Takes out of a script what the grammar cuts otherwise than the shell: backslashes before blanks and ends of lines.

A line that ends in a backslash is joined with the next, and a blank after a backslash becomes a letter for the grammar.
Source: bash(1), QUOTING; tree-sitter-bash 0.25 grammar.js, where both are `extras` between words.
"""

from __future__ import annotations

import re

_TO_PREPARE = re.compile(r"\\[ \t\n]")
# Letters of nobody's: the private use area of Unicode.
_LETTERS = {" ": "\ue000", "\t": "\ue001"}
_BLANKS = {ord(letter): blank for blank, letter in _LETTERS.items()}
_BREAKS = " \t\n;&|()<>"


def restored(text: str) -> str:
    """The text with blanks for the letters that stand for them."""
    return text.translate(_BLANKS) if not text.isascii() else text


def prepare(content: str) -> tuple[str, range | tuple[int, ...]]:
    """What to parse, and the offset in `content` of each of its characters."""
    if not _TO_PREPARE.search(content):
        return content, range(len(content))
    characters: list[str] = []
    origins: list[int] = []
    quote = ""
    at = 0
    while at < len(content):
        one, following = content[at], content[at + 1 : at + 2]
        length, kept = 1, one
        if quote == "#":
            quote = "" if one == "\n" else quote
        elif one == "\\" and quote != "'":
            length = 2
            if following == "\n" and quote != "$'":
                kept = ""
            elif following in _LETTERS and not quote:
                kept = _LETTERS[following]
            else:
                kept = one + following
        elif quote in {"'", "$'"}:
            quote = "" if one == "'" else quote
        elif one == '"':
            quote = "" if quote else '"'
        elif not quote and one == "'":
            quote = "$'" if content[max(at - 1, 0) : at] == "$" else "'"
        elif not quote and one == "#" and (not at or content[at - 1] in _BREAKS):
            quote = "#"
        characters.append(kept)
        origins += range(at, at + len(kept))
        at += length
    return "".join(characters), tuple(origins)
