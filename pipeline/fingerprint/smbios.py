"""SMBIOS structures by type (`smbios/1/version`); the fields of the types that QEMU makes, others as a digest.

Source: DMTF DSP0134 (SMBIOS 3.7), chapters 6 and 7; what QEMU fills in: hw/smbios/smbios.c.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.notes import Notes, digest, number
from pipeline.fingerprint.sighting import Sighting

_END_OF_TABLE = 127
_UUID = (1, 8)
# By type: name, offset, bytes; 0 bytes for a string.
_FIELDS: dict[int, tuple[tuple[str, int, int], ...]] = {
    0: (
        ("vendor", 4, 0), ("version", 5, 0), ("start segment", 6, 2), ("date", 8, 0), ("ROM size", 9, 1),
        ("characteristics", 10, 8), ("characteristics extension", 18, 2), ("release", 20, 2),
    ),
    1: (
        ("manufacturer", 4, 0), ("product", 5, 0), ("version", 6, 0), ("serial", 7, 0), ("wake-up", 24, 1),
        ("SKU", 25, 0), ("family", 26, 0),
    ),
    2: (
        ("manufacturer", 4, 0), ("product", 5, 0), ("version", 6, 0), ("serial", 7, 0), ("asset tag", 8, 0),
        ("features", 9, 1), ("location", 10, 0), ("board type", 13, 1),
    ),
    3: (
        ("manufacturer", 4, 0), ("chassis type", 5, 1), ("version", 6, 0), ("serial", 7, 0), ("asset tag", 8, 0),
        ("boot-up state", 9, 1), ("power supply", 10, 1), ("thermal state", 11, 1), ("security", 12, 1),
    ),
    4: (
        ("socket", 4, 0), ("processor type", 5, 1), ("family", 6, 1), ("manufacturer", 7, 0), ("id", 8, 8),
        ("version", 16, 0), ("voltage", 17, 1), ("external clock", 18, 2), ("max speed", 20, 2),
        ("current speed", 22, 2), ("status", 24, 1), ("upgrade", 25, 1), ("serial", 32, 0), ("asset tag", 33, 0),
        ("part", 34, 0), ("cores", 35, 1), ("cores enabled", 36, 1), ("threads", 37, 1),
        ("characteristics", 38, 2), ("family 2", 40, 2), ("cores 2", 42, 2), ("cores enabled 2", 44, 2),
        ("threads 2", 46, 2),
    ),
    8: (("internal", 4, 0), ("internal type", 5, 1), ("external", 6, 0), ("external type", 7, 1), ("port", 8, 1)),
    16: (
        ("location", 4, 1), ("use", 5, 1), ("error correction", 6, 1), ("capacity", 7, 4), ("devices", 13, 2),
        ("extended capacity", 15, 8),
    ),
    17: (
        ("total width", 8, 2), ("data width", 10, 2), ("size", 12, 2), ("form factor", 14, 1), ("set", 15, 1),
        ("locator", 16, 0), ("bank", 17, 0), ("memory type", 18, 1), ("detail", 19, 2), ("speed", 21, 2),
        ("manufacturer", 23, 0), ("serial", 24, 0), ("asset tag", 25, 0), ("part", 26, 0), ("rank", 27, 1),
        ("extended size", 28, 4), ("configured speed", 32, 2), ("minimum voltage", 34, 2),
        ("maximum voltage", 36, 2), ("configured voltage", 38, 2),
    ),
    19: (
        ("start", 4, 4), ("end", 8, 4), ("partition width", 14, 1), ("extended start", 15, 8),
        ("extended end", 23, 8),
    ),
    32: (("status", 10, 1),),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """One structure: `formatted` has its header too, `strings` are numbered from 1."""

    kind: int
    formatted: bytes
    strings: tuple[str, ...]

    def string(self, index: int) -> str:
        """The string of that number; 0 means none."""
        if not index:
            return "none"
        return (
            self.strings[index - 1] if index <= len(self.strings) else f"string {index}, which is not there"
        )


def structures(data: bytes) -> Iterator[Structure]:
    """The structures of a table; it ends at the one of type 127 or where the rest makes no sense."""
    at = 0
    while at + 4 <= len(data):
        kind, size = data[at], data[at + 1]
        if size < 4 or at + size > len(data):
            return
        after = data.find(b"\0\0", at + size)
        if after < 0:
            return
        strings = data[at + size : after]
        texts = (
            tuple(part.decode("ascii", errors="replace") for part in strings.split(b"\0")) if strings else ()
        )
        yield Structure(kind=kind, formatted=data[at : at + size], strings=texts)
        if kind == _END_OF_TABLE:
            return
        at = after + 2


def read(sighting: Sighting) -> Fingerprint:
    """Section `smbios`."""
    notes = Notes(section="smbios")
    data = sighting.memory.get("smbios/structures", b"")
    entry = sighting.memory.get("smbios/entry", b"")
    if entry.startswith(b"_SM3_"):
        notes.fact("entry point", f"64-bit, {number(entry, 7, 1)}.{number(entry, 8, 1)}")
    elif entry.startswith(b"_SM_"):
        notes.fact("entry point", f"32-bit, {number(entry, 6, 1)}.{number(entry, 7, 1)}")
    found = tuple(structures(data))
    if not found:
        reasons = (sighting.missing.get(name) for name in ("memory/smbios", "memory"))
        notes.leave_out("", next(filter(None, reasons), "its table makes no sense"))
    counts: dict[int, int] = {}
    for one in found:
        if one.kind == _END_OF_TABLE:
            continue
        counts[one.kind] = counts.get(one.kind, 0) + 1
        again = f"#{counts[one.kind]}" if counts[one.kind] > 1 else ""
        _structure(notes, f"{one.kind}{again}", one)
    return notes.fingerprint()


def _structure(notes: Notes, name: str, one: Structure) -> None:
    notes.fact(f"{name}/length", len(one.formatted))
    fields = _FIELDS.get(one.kind)
    if fields is None:
        # Handles (offset 2) only number the structures.
        contents = one.formatted[:2] + one.formatted[4:]
        notes.fact(f"{name}/contents", digest(contents))
        for index, text in enumerate(one.strings, 1):
            notes.fact(f"{name}/string {index}", text)
        return
    for field, at, size in fields:
        if at + max(size, 1) > len(one.formatted):
            continue
        value = number(one.formatted, at, max(size, 1))
        notes.fact(f"{name}/{field}", f"{value:#x}" if size else one.string(value))
    kind, at = _UUID
    if one.kind == kind and len(one.formatted) >= at + 16:
        notes.fact(f"{name}/uuid", uuid.UUID(bytes_le=one.formatted[at : at + 16]))
