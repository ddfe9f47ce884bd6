"""Fields of the ACPI tables that have no code (ACPI 6.5, 5.2.9 and 5.2.12; PCI Firmware 3.3, 4.1.2; HPET 1.0a)."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.fingerprint.notes import number

Field = tuple[str, object]

_FADT = (
    ("model", 44, 1), ("profile", 45, 1), ("SCI", 46, 2), ("SMI command", 48, 4), ("ACPI enable", 52, 1),
    ("ACPI disable", 53, 1), ("PM1a event", 56, 4), ("PM1a control", 64, 4), ("PM timer", 76, 4),
    ("GPE0", 80, 4), ("GPE0 length", 92, 1), ("C2 latency", 96, 2), ("C3 latency", 98, 2), ("RTC century", 108, 1),
    ("boot flags", 109, 2), ("flags", 112, 4), ("reset value", 128, 1), ("minor revision", 131, 1),
)  # fmt: skip
_RESET = 116
_OVERRIDE_FLAGS = {0: "as the bus", 5: "high edge", 13: "high level", 15: "low level", 7: "low edge"}
_MOST_ENTRIES = 4096


def fields(kind: str, data: bytes) -> Iterator[Field]:
    """Names and values; nothing for a table that is not decoded."""
    match kind:
        case "FACP":
            for name, at, size in _FADT:
                if at + size <= len(data):
                    yield name, f"{number(data, at, size):#x}"
            if len(data) >= _RESET + 12:
                yield "reset register", _generic(data[_RESET : _RESET + 12])
        case "APIC":
            yield from _madt(data)
        case "MCFG":
            for index, at in enumerate(range(44, len(data) - 15, 16)):
                buses = f"buses {data[at + 10]:02x}-{data[at + 11]:02x}"
                yield f"segment {index}", f"{number(data, at, 8):#x}, {buses}"
        case "HPET":
            yield "block", f"{number(data, 36, 4):#010x}"
            yield "address", _generic(data[40:52])
            yield "minimum tick", number(data, 53, 2)
        case "WAET":
            yield "flags", f"{number(data, 36, 4):#x}"
        case "FACS":
            yield "version", number(data, 32, 1)
            yield "flags", f"{number(data, 20, 4):#x}"


def _generic(data: bytes) -> str:
    """A generic address structure (5.2.3.2)."""
    spaces = {0: "memory", 1: "I/O", 2: "PCI"}
    space = spaces.get(number(data, 0, 1), f"space {number(data, 0, 1)}")
    return f"{space} {number(data, 4, 8):#x}, {number(data, 1, 1)} bits"


def _madt(data: bytes) -> Iterator[Field]:
    yield "local APIC address", f"{number(data, 36, 4):#x}"
    yield "flags", f"{number(data, 40, 4):#x}"
    ids: dict[str, list[str]] = {}
    at, count = 44, 0
    while at + 2 <= len(data) and count < _MOST_ENTRIES:
        kind, size = data[at], data[at + 1]
        if size < 2:
            return
        entry, count = data[at : at + size], count + 1
        at += size
        match kind:
            case 0 | 9:
                name = "local APICs" if kind == 0 else "local x2APICs"
                apic, on = (number(entry, 3, 1), number(entry, 4, 4)) if kind == 0 else (
                    number(entry, 4, 4), number(entry, 8, 4)
                )  # fmt: skip
                ids.setdefault(name, []).append(f"{apic}{'' if on & 1 else ' (off)'}")
            case 1:
                place = f"{number(entry, 4, 4):#x}, from {number(entry, 8, 4)}"
                yield f"IO APIC {number(entry, 2, 1)}", place
            case 2:
                flags = number(entry, 8, 2)
                how = _OVERRIDE_FLAGS.get(flags, f"flags {flags:#x}")
                yield f"override {number(entry, 3, 1)}", f"{number(entry, 4, 4)}, {how}"
            case 4 | 10:
                yield "NMI", entry[2:].hex()
            case _:
                yield f"entry of type {kind}", entry[2:].hex()
    for name, values in ids.items():
        yield name, " ".join(values)
