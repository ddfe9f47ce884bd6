"""Names, lengths and data objects of AML (ACPI 6.5, 20.2.2 to 20.2.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.fingerprint.notes import digest

_SIZES = {0x0A: 1, 0x0B: 2, 0x0C: 4, 0x0E: 8}
_CONSTANTS = {0x00: 0, 0x01: 1, 0xFF: 0xFFFFFFFFFFFFFFFF}
_STRING, _BUFFER, _PACKAGE, _VARIABLE_PACKAGE = 0x0D, 0x11, 0x12, 0x13
_SEGMENT = re.compile(rb"[A-Z_][A-Z0-9_]{3}")
_LEAD = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_\\^\x2e\x2f")
_LOCALS_AND_ARGUMENTS = range(0x60, 0x6F)
_DEPTH = 16
_LONG = 100


class Wrong(Exception):
    """Not what can be read here."""


@dataclass(frozen=True, slots=True)
class Data:
    """A data object: a number, or the text for it with its bytes; a buffer has its `contents` too."""

    value: int | str
    raw: bytes = b""
    contents: bytes = b""

    def short(self) -> str:
        """As one word or few; a digest where it is long."""
        if isinstance(self.value, int):
            return f"{self.value:#x}"
        return self.value if len(self.value) <= _LONG else f"{len(self.raw)} bytes, {digest(self.raw)}"

    def text(self, name: str) -> str:
        """The same as the value of `name`: ids of PNP devices are numbers in AML (ACPI 6.5, 19.6.37)."""
        if isinstance(self.value, int) and name in {"_HID", "_CID"}:
            return _eisa(self.value)
        return self.short()


@dataclass(slots=True, kw_only=True)
class Reader:
    """Reads `data` from `at` on; each method raises Wrong where that is not there."""

    data: bytes
    at: int = 0

    def left(self) -> int:
        """Bytes that are left."""
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > self.left():
            raise Wrong
        self.at += size
        return self.data[self.at - size : self.at]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def package(self) -> Reader:
        """A reader for what a PkgLength spans."""
        start = self.at
        lead = self.byte()
        more = self.take(lead >> 6)
        size = int.from_bytes(more, "little") << 4 | lead & 0xF if more else lead & 0x3F
        return Reader(data=self.take(size - (self.at - start))) if size >= self.at - start else self._fail()

    def _fail(self) -> Reader:
        raise Wrong

    def name(self) -> str:
        """A name string; segments without the padding, signs for the root and for parents in front as they are."""
        prefix = ""
        while self.left() and self.data[self.at] in b"\\^":
            prefix += chr(self.byte())
        if not self.left():
            raise Wrong
        match self.data[self.at]:
            case 0x00:
                self.at += 1
                return prefix
            case 0x2E:
                self.at += 1
                count = 2
            case 0x2F:
                self.at += 1
                count = self.byte()
            case _:
                count = 1
        segments = [self.take(4) for _ in range(count)]
        if not all(map(_SEGMENT.fullmatch, segments)):
            raise Wrong
        return prefix + ".".join(segment.decode().rstrip("_") or "_" for segment in segments)

    def data_object(self, depth: int = 0) -> Data:
        """A constant, string, buffer, package, or a name that stands for an object."""
        if depth > _DEPTH or not self.left():
            raise Wrong
        start, lead = self.at, self.data[self.at]
        if lead in _LEAD:
            return Data(self.name(), self.data[start : self.at])
        self.at += 1
        if lead in _CONSTANTS:
            return Data(_CONSTANTS[lead])
        if lead in _SIZES:
            return Data(int.from_bytes(self.take(_SIZES[lead]), "little"))
        if lead in _LOCALS_AND_ARGUMENTS:
            return Data(f"Local{lead - 0x60}" if lead < 0x68 else f"Arg{lead - 0x68}")
        if lead == _STRING:
            end = self.data.find(b"\0", self.at)
            raw = self.take(end + 1 - self.at) if end >= 0 else self.take(self.left() + 1)
            return Data(f'"{raw[:-1].decode("ascii", errors="replace")}"', raw)
        if lead in {_BUFFER, _PACKAGE, _VARIABLE_PACKAGE}:
            inner = self.package()
            return self._list(lead, inner, depth)
        raise Wrong

    @staticmethod
    def _list(lead: int, inner: Reader, depth: int) -> Data:
        raw = inner.data
        size = inner.data_object(depth + 1) if lead != _PACKAGE else Data(inner.byte())
        if lead == _BUFFER:
            contents = inner.take(inner.left())
            return Data(f"buffer of {size.short()} bytes, {digest(contents)}", raw, contents)
        elements: list[str] = []
        while inner.left():
            elements.append(inner.data_object(depth + 1).short())
            if len(elements) * 3 > _LONG:
                return Data(f"package of {size.short()}, {digest(raw)}", raw)
        words = f"package of {size.short()}: {', '.join(elements)}"
        return Data(words if len(words) <= _LONG else f"package of {size.short()}, {digest(raw)}", raw)


def _eisa(value: int) -> str:
    swapped = int.from_bytes(value.to_bytes(8, "little")[:4], "big")
    letters = "".join(chr(0x40 + (swapped >> shift & 0x1F)) for shift in (26, 21, 16))
    return f"{letters}{swapped & 0xFFFF:04X}"
