"""ACPI tables by signature (`acpi/FACP/revision`): header, decoded fields and a digest of the rest.

In the digest pointers to other tables and checksums are zero: where a table lies is the firmware's choice.
Source: ACPI 6.5, 5.2; what QEMU makes of it: hw/i386/acpi-build.c.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.fingerprint.acpi_fields import fields
from pipeline.fingerprint.aml import objects
from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.notes import Notes, digest, latin, number
from pipeline.fingerprint.sighting import Sighting

_HEADER = 36
_CHECKSUM = (9, 1)
_PREFIX = "acpi/"
# Pointers and what the guest writes: offset and bytes.
_CHOSEN: dict[str, tuple[tuple[int, int], ...]] = {
    "RSDP": ((8, 1), (16, 4), (24, 9)),
    "FACP": ((36, 8), (132, 16)),
    "FACS": ((12, 12), (24, 8)),
    "BGRT": ((40, 8),),
    "TPM2": ((56, 8),),
}
_CODE = {"DSDT", "SSDT"}


def read(sighting: Sighting) -> Fingerprint:
    """Section `acpi`."""
    notes = Notes(section="acpi")
    tables = {
        key.removeprefix(_PREFIX): data for key, data in sighting.memory.items() if key.startswith(_PREFIX)
    }
    if not tables:
        reasons = (sighting.missing.get(name) for name in ("memory/acpi", "memory"))
        notes.leave_out("", next(filter(None, reasons), "the tables were not read"))
    names = _names(tables)
    for key, data in tables.items():
        _table(notes, names[key], key.partition("#")[0], data)
    if "XSDT" in tables:
        notes.fact(
            "tables", " ".join(sorted(name for name in names.values() if name not in {"RSDP", "XSDT"}))
        )
    return notes.fingerprint()


def _names(tables: dict[str, bytes]) -> dict[str, str]:
    """The signature; where there are several of one, with the OEM's table id: `SSDT (NVDIMM)`."""
    kinds = [key.partition("#")[0] for key in tables]
    names: dict[str, str] = {}
    for key, data in tables.items():
        kind = key.partition("#")[0]
        name = kind if kinds.count(kind) == 1 else f"{kind} ({latin(data[16:24])})"
        again = sum(other.partition("#")[0] == name for other in names.values())
        names[key] = f"{name}#{again + 1}" if again else name
    return names


def _table(notes: Notes, name: str, kind: str, data: bytes) -> None:
    notes.fact(f"{name}/length", len(data))
    if kind not in {"RSDP", "FACS"} and len(data) >= _HEADER:
        notes.fact(f"{name}/revision", data[8])
        notes.fact(f"{name}/OEM", f"{latin(data[10:16])} {latin(data[16:24])} {number(data, 24, 4)}")
        notes.fact(f"{name}/creator", f"{latin(data[28:32])} {number(data, 32, 4):#x}")
    elif kind == "RSDP":
        notes.fact(f"{name}/revision", number(data, 15, 1))
        notes.fact(f"{name}/OEM", latin(data[9:15]))
    if kind == "XSDT":
        return
    notes.fact(f"{name}/digest", digest(normal(kind, data)))
    for path, value in fields(kind, data):
        notes.fact(f"{name}/{path}", value)
    if kind in _CODE:
        _code(notes, name, data[_HEADER:])


def _code(notes: Notes, name: str, code: bytes) -> None:
    for path, value in objects(code):
        if path:
            notes.fact(f"{name}/{path}", value)
        else:
            notes.leave_out(name, value)


def normal(kind: str, data: bytes) -> bytes:
    """The table without its checksum and without what is another at every boot."""
    result = bytearray(data)
    for at, size in _zeroed(kind):
        size = max(0, min(size, len(result) - at))
        result[at : at + size] = bytes(size)
    return bytes(result)


def _zeroed(kind: str) -> Iterator[tuple[int, int]]:
    yield from _CHOSEN.get(kind, ())
    if kind not in {"RSDP", "FACS"}:
        yield _CHECKSUM
