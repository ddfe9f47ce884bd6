"""Named objects of AML, the byte code of DSDT and SSDT: what is there, with values and digests of method bodies.

Code is not run: what is under an If or other code is not followed, and counts as one piece. Source: ACPI 6.5, 20.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.fingerprint import resources
from pipeline.fingerprint.aml_data import Data, Reader, Wrong
from pipeline.fingerprint.notes import LONGEST, digest

_MOST = 3500
_DEPTH = 32
_SPACES = {0: "memory", 1: "I/O", 2: "PCI config", 3: "EC", 4: "SMBus", 10: "PCC"}
_CONTAINERS = {
    0x82: ("Device", 0),
    0x83: ("Processor", 6),
    0x84: ("PowerResource", 3),
    0x85: ("ThermalZone", 0),
}
# CreateField and its like: how many arguments stand before the name.
_CREATE = {0x8A: 2, 0x8B: 2, 0x8C: 2, 0x8D: 2, 0x8F: 2}
_CREATE_FIELD = 0x13
_TEMPLATES = {"_CRS", "_PRS"}

Named = tuple[str, str]


def objects(code: bytes) -> Iterator[Named]:
    """Paths such as `_SB.PCI0._HID` and what they are; an empty path with the reason where the rest is not read."""
    walk = _Walk()
    yield from walk.terms(Reader(data=code), "", 0)


@dataclass(kw_only=True, slots=True)
class _Walk:
    count: int = 0

    def terms(self, reader: Reader, scope: str, depth: int) -> Iterator[Named]:
        while reader.left():
            self.count += 1
            start = reader.at
            if self.count > _MOST or depth > _DEPTH:
                yield "", f"more than {_MOST} objects, or {_DEPTH} scopes in each other"
                return
            try:
                yield from self._term(reader, scope, depth)
            except Wrong:
                reader.at = start
                rest = reader.take(reader.left())
                yield _join(scope, "(code)"), f"{len(rest)} bytes, {digest(rest)}"
                return

    def _term(self, reader: Reader, scope: str, depth: int) -> Iterator[Named]:
        match reader.byte():
            case 0x06:
                target, name = reader.name(), reader.name()
                yield _join(scope, name), f"alias of {target}"
            case 0x08:
                name = reader.name()
                yield _join(scope, name), _value(name, reader.data_object())
            case 0x10:
                inner = reader.package()
                yield from self.terms(inner, _join(scope, inner.name()), depth + 1)
            case 0x14:
                inner = reader.package()
                name, flags = inner.name(), inner.byte()
                body = inner.take(inner.left())
                kind = f"{flags & 7} arguments{', serialized' if flags & 8 else ''}"
                yield _join(scope, name), f"Method, {kind}, {len(body)} bytes, {digest(body)}"
            case 0x15:
                reader.name()
                reader.take(2)
            case 0xA0 | 0xA1 as opcode:
                branch = reader.package().data
                name = "(if)" if opcode == 0xA0 else "(else)"
                yield _join(scope, name), f"{len(branch)} bytes, {digest(branch)}"
            case opcode if opcode in _CREATE:
                yield self._create(reader, scope, _CREATE[opcode])
            case 0x5B:
                yield from self._extended(reader, scope, depth)
            case _:
                raise Wrong

    def _create(self, reader: Reader, scope: str, arguments: int) -> Named:
        source = [reader.data_object() for _ in range(arguments)]
        return _join(scope, reader.name()), f"field of {', '.join(one.short() for one in source)}"

    def _extended(self, reader: Reader, scope: str, depth: int) -> Iterator[Named]:
        match reader.byte():
            case 0x01:
                name = reader.name()
                yield _join(scope, name), f"Mutex {reader.byte()}"
            case 0x02:
                yield _join(scope, reader.name()), "Event"
            case opcode if opcode == _CREATE_FIELD:
                yield self._create(reader, scope, 3)
            case 0x80:
                name, space = reader.name(), reader.byte()
                start, size = reader.data_object().short(), reader.data_object().short()
                yield _join(scope, name), f"region {_SPACES.get(space, f'{space:#x}')} {start}, {size} bytes"
            case 0x81 | 0x86 | 0x87:
                inner = reader.package()
                name = inner.name()
                rest = inner.take(inner.left())
                yield _join(scope, f"{name}(fields)"), f"{len(rest)} bytes, {digest(rest)}"
            case opcode if opcode in _CONTAINERS:
                what, fixed = _CONTAINERS[opcode]
                inner = reader.package()
                path = _join(scope, inner.name())
                yield path, f"{what} {inner.take(fixed).hex()}".strip()
                yield from self.terms(inner, path, depth + 1)
            case _:
                raise Wrong


def _value(name: str, data: Data) -> str:
    """A name's value; a digest stands before a template that is too long to be kept whole."""
    found = resources.items(data.contents) if name in _TEMPLATES and data.contents else None
    if found is None:
        return data.text(name)
    words = "; ".join(found) or "nothing"
    return words if len(words) <= LONGEST else f"{digest(data.contents)}: {words}"


def _join(scope: str, name: str) -> str:
    if name.startswith("\\"):
        return name[1:]
    while name.startswith("^"):
        name, scope = name[1:], scope.rpartition(".")[0]
    return ".".join(filter(None, (scope, name)))
