"""Commands in shell scripts, found by the grammar of the shell wherever they stand; none is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from pipeline.errors import Place
from pipeline.files.reader import Reader
from pipeline.files.syntax import NoScript, Script, parse, walk
from pipeline.files.text import Text
from pipeline.files.words import Dynamic, scalar
from pipeline.plan.model import Written

_WRAPPERS = {"sudo", "doas", "exec", "command", "env", "nice", "ionice", "time"}
_LEFT_OUT = {"variable_assignment", "file_redirect", "herestring_redirect", "heredoc_redirect", "comment"}
_BINARY = (b"\x7fELF", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
_MOST = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A simple command: its words with their places, those that are not known as they are written.

    Its place is that of the program, behind sudo and the like.
    """

    words: tuple[Written[str], ...]
    place: Place

    @property
    def name(self) -> str:
        """What is run, without its directory."""
        return self.words[0].value.rpartition("/")[2]

    @property
    def line(self) -> str:
        """The words joined by a space."""
        return " ".join(one.value for one in self.words)


def script(reader: Reader, text: Text) -> Script | None:
    """The syntax tree of a script; None, with a note, where it is too long."""
    try:
        return parse(text)
    except NoScript as error:
        reader.note(text.whole, f"not read: {error}")
        return None


def text(reader: Reader, path: str) -> Text | None:
    """The text of a script; None without a note where it is a program, a directory or too large for a script."""
    data = reader.data(path, quiet=True)
    if data is None or data.startswith(_BINARY) or b"\0" in data[:1024]:
        return None
    return reader.text(path)


def commands(parsed: Script) -> Iterator[Command]:
    """All simple commands, with sudo and the like taken off; those inside of `for NAME in WORDS` once a word."""
    for node in walk(parsed.root):
        if node.type != "command":
            continue
        words = [_word(parsed, child) for child in node.children if child.type not in _LEFT_OUT]
        while words and words[0].value.rpartition("/")[2] in _WRAPPERS:
            words.pop(0)
            while words and re.match(r"-|\w+=", words[0].value):
                words.pop(0)
        if words:
            for filled in _filled(parsed, node, words):
                yield Command(words=tuple(filled), place=filled[0].place)


def _word(parsed: Script, node: Node) -> Written[str]:
    inner = node.children[0] if node.type == "command_name" and node.children else node
    place = parsed.place(inner)
    try:
        value = scalar(parsed, inner, lambda name: None)
    except Dynamic:
        return Written(value=parsed.source(inner).strip().strip('"'), place=place)
    return Written(value=value.value, place=value.place or place)


def _filled(parsed: Script, node: Node, words: list[Written[str]]) -> Iterator[list[Written[str]]]:
    """The words with the variable of a loop around them replaced by each of its values."""
    loop = node.parent
    while loop is not None and loop.type != "for_statement":
        loop = loop.parent
    variable = loop.child_by_field_name("variable") if loop is not None else None
    names = (
        {f"${parsed.source(variable)}", f"${{{parsed.source(variable)}}}"} if variable is not None else set()
    )
    if loop is None or not any(word.value in names for word in words):
        yield words
        return
    for value in loop.children_by_field_name("value")[:_MOST]:
        yield [_word(parsed, value) if word.value in names else word for word in words]
