"""One file as text, with the place of every character in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from pipeline.errors import Place

_SHOWN = 500


@dataclass(frozen=True, eq=False)
class Text:
    """The content of a file, with a newline alone between lines. `file` is how messages call it, `path` its own path.

    `carriage` is the number of the first line that ended in CR LF, 0 where none did. `marked`: a byte order mark
    stood at its start.
    """

    file: str
    path: str
    content: str
    carriage: int = 0
    marked: bool = False

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """Lines without their ends."""
        return tuple(self.content.split("\n"))

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.lines:
            starts.append(starts[-1] + len(line) + 1)
        return starts

    def at(self, offset: int) -> Place:
        """The place of the character at `offset`, counted from 0."""
        line = bisect_right(self._starts, offset, hi=len(self.lines)) or 1
        return self.place(line, offset - self._starts[line - 1] + 1)

    def place(self, line: int, column: int = 1) -> Place:
        """The place of a line and column, both counted from 1."""
        return Place(file=self.file, line=line, column=column, text=self.lines[line - 1].strip()[:_SHOWN])

    @property
    def whole(self) -> Place:
        """The file as such."""
        return Place(file=self.file)
