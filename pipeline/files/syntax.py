"""The syntax tree of a shell script by tree-sitter's grammar of bash, with the place of every character.

Nothing is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from pipeline.errors import Place
from pipeline.files.quoting import prepare, restored
from pipeline.files.text import Text

# The grammar's time for text that is no shell grows with the square of its size; at this one it is a quarter second.
LIMIT = 32_768
_BLANK = re.compile(rb"(?:[ \t\n;]|\\\n)*")


class NoScript(Exception):
    """A text is not parsed; the message says why."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A text and where each of its characters was written: the file and the offset in it, counted from 0."""

    value: str
    marks: tuple[tuple[Text, int], ...]

    @property
    def place(self) -> Place | None:
        """The place of the first character, None for an empty text."""
        return self.marks[0][0].at(self.marks[0][1]) if self.marks else None

    def part(self, start: int, end: int) -> Traced:
        """The characters from `start` to `end`."""
        return Traced(self.value[start:end], self.marks[start:end])

    def split(self) -> tuple[Traced, ...]:
        """The words between blanks."""
        return tuple(self.part(*found.span()) for found in re.finditer(r"[^ \t\n]+", self.value))


@dataclass(frozen=True, eq=False)
class Script:
    """A parsed script. `origins` are the offsets in the text of the characters that were parsed."""

    text: Text
    root: Node
    content: str
    origins: range | tuple[int, ...]

    @cached_property
    def _characters(self) -> range | list[int]:
        """The character at each byte of UTF-8, and the end."""
        if self.content.isascii():
            return range(len(self.content) + 1)
        found = [number for number, one in enumerate(self.content) for _ in one.encode()]
        return [*found, len(self.content)]

    def traced(self, start: int, end: int) -> Traced:
        """The text between two bytes of what was parsed."""
        first, last = self._characters[start], self._characters[end]
        marks = tuple((self.text, self.origins[number]) for number in range(first, last))
        return Traced(restored(self.content[first:last]), marks)

    def of(self, node: Node) -> Traced:
        """The text of a node as it was written."""
        return self.traced(node.start_byte, node.end_byte)

    def source(self, node: Node) -> str:
        """The text of a node without places."""
        return restored(self.content[self._characters[node.start_byte] : self._characters[node.end_byte]])

    @cached_property
    def _bytes(self) -> bytes:
        return self.content.encode()

    def apart(self, before: Node | None, after: Node | None) -> bool:
        """Whether only blanks, ends of lines and `;` are between two nodes; None stands for the script's ends.

        The grammar passes over a backslash with a blank, which to the shell is a part of a word.
        """
        start = before.end_byte if before is not None else 0
        end = after.start_byte if after is not None else len(self._bytes)
        return _BLANK.fullmatch(self._bytes, start, end) is not None

    def place(self, node: Node) -> Place:
        """The place of a node's first character."""
        number = self._characters[node.start_byte]
        return self.text.at(self.origins[number] if number < len(self.origins) else len(self.text.content))


def parse(text: Text) -> Script:
    """The syntax tree of a script, with nodes of type ERROR where it is no shell. Raises NoScript."""
    if len(text.content) > LIMIT:
        raise NoScript(f"it has more than {LIMIT >> 10} KiB")
    content, origins = prepare(text.content)
    root = _parser().parse(content.encode()).root_node
    return Script(text=text, root=root, content=content, origins=origins)


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it, in the order of the text."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting += reversed(current.children)


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bash.language()))
