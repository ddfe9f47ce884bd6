"""Reads texts out of a tree and keeps account of what could not be read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.errors import Place
from pipeline.files.text import Text
from pipeline.files.tree import COPY, LIMIT, Refused, Tree
from pipeline.setup.model import Unread

_FILES = 4_000
_BYTES = 64 << 20
_LINE = 16_384
_COPY = re.compile(rf"{re.escape(COPY)}(?:\.[0-9]+)?$")
_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


class Reader:
    """The texts of a tree. Places name a file as `shown` joined with its path; every file is read once.

    What cannot be read or understood is in `unread`, in the order in which it was met.
    """

    def __init__(self, tree: Tree, *, shown: str) -> None:
        self.tree = tree
        self._shown = shown
        self._texts: dict[str, Text | None] = {}
        self._unread: dict[Unread, None] = {}
        self._files = 0
        self._bytes = 0

    @property
    def unread(self) -> tuple[Unread, ...]:
        """What was not understood, each once."""
        return tuple(self._unread)

    def note(self, place: Place, what: str) -> None:
        """Keep that something at `place` was not understood."""
        self._unread.setdefault(Unread(place=place, what=what))

    def shown(self, path: str) -> str:
        """How messages call the file at `path`."""
        return f"{self._shown.rstrip('/')}/{path}" if self._shown else path

    def whole(self, path: str) -> Place:
        """The place of a file as such, be it there or not."""
        return Place(file=self.shown(path))

    def names(self, folder: str, *, end: str = "") -> tuple[str, ...]:
        """Names in a directory that end in `end`, sorted; without the copies of files that were mended."""
        return tuple(
            name for name in self.tree.names(folder) if name.endswith(end) and not _COPY.search(name)
        )

    def first(self, paths: Iterable[str]) -> Text | None:
        """The first of several files that is there and can be read."""
        return next((text for text in map(self.text, paths) if text), None)

    def data(self, path: str, *, limit: int = LIMIT, quiet: bool = False) -> bytes | None:
        """The bytes of a file; None, with a note unless `quiet`, where it is not read."""
        if self._files >= _FILES or self._bytes >= _BYTES:
            self.note(self.whole(path), f"not read: {_FILES} files or {_BYTES >> 20} MiB were read before it")
            return None
        try:
            data = self.tree.read(path, limit=limit)
        except Refused as error:
            if not quiet:
                self.note(self.whole(path), f"not read: {error}")
            return None
        if data is not None:
            self._files += 1
            self._bytes += len(data)
        return data

    def text(self, path: str, *, limit: int = LIMIT) -> Text | None:
        """The text of a file; None where there is none, or with a note where it is no text."""
        if path not in self._texts:
            data = self.data(path, limit=limit)
            self._texts[path] = None if data is None else self._decoded(path, data, self.shown(path))
        return self._texts[path]

    def parsed(self, path: str, data: bytes, *, file: str) -> Text | None:
        """The text of bytes that were not read here, such as a file that the user named."""
        return self._decoded(path, data, file)

    def _decoded(self, path: str, data: bytes, file: str) -> Text | None:
        whole = Place(file=file)
        if b"\0" in data:
            line = data[: data.index(b"\0")].count(b"\n") + 1
            self.note(
                Place(file=file, line=line, column=1), "not read: it holds a NUL byte, so it is no text"
            )
            return None
        try:
            content = data.decode()
        except UnicodeDecodeError as error:
            start = data.rfind(b"\n", 0, error.start) + 1
            content = _only_comments(data)
            if not content:
                place = Place(file=file, line=data[:start].count(b"\n") + 1, column=1)
                self.note(place, "not read: it is not UTF-8 from this line on")
                return None
        marked = content.startswith(_MARK)
        carriage = 0
        if "\r\n" in content:
            carriage = content[: content.index("\r\n")].count("\n") + 1
            content = content.replace("\r\n", "\n")
        text = Text(
            file=file, path=path, content=content.removeprefix(_MARK), carriage=carriage, marked=marked
        )
        if any(len(line) > _LINE for line in text.lines):
            self.note(whole, f"not read: a line of it has more than {_LINE} characters")
            return None
        if marked:
            self.note(
                text.place(1),
                "it starts with a byte order mark, which Linux tools take for a part of its first word; "
                "save it as UTF-8 without one",
            )
        if carriage:
            self.note(
                text.place(carriage),
                "its lines end with CR LF, as Windows writes them: what reads it takes the CR for a part of the "
                "last value of a line. It was read here as if the CR were not there; convert it with dos2unix",
            )
        return text


def _only_comments(data: bytes) -> str:
    """The text where bytes that are not UTF-8 stand in lines of comment alone, else nothing."""
    for line in data.split(b"\n"):
        if not line.lstrip().startswith(b"#"):
            try:
                line.decode()
            except UnicodeDecodeError:
                return ""
    return data.decode(errors="replace")
