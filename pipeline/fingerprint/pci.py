"""The PCI tree: each function with its ids, BARs and capabilities (`pci/01:00.0/ids`).

Addresses are those of the guest's firmware. Addresses of BARs and windows are not facts: they are its choice too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.fingerprint.capabilities import conventional, extended
from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.notes import Notes, amount, number
from pipeline.fingerprint.sighting import Sighting
from pipeline.pci import Address, IdPair

_MOST_DEPTH = 64
_ROM = 6  # QEMU's number for the expansion ROM (include/hw/pci/pci.h PCI_ROM_SLOT)
_BRIDGE = 1
_HEADER = 0x40


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A function as the monitor and its config space show it; `config` is empty where it was not read."""

    address: Address
    behind: Address | None
    told: Mapping[str, Any]
    config: bytes

    @property
    def header(self) -> int:
        """The kind of header: 0 a function, 1 a bridge (PCI 3.0, 6.1)."""
        return self.config[0x0E] & 0x7F if self.config else 0


def functions(sighting: Sighting) -> tuple[Seen, ...]:
    """Every function, in the order of the addresses."""
    buses = sighting.qmp.get("query-pci")
    found = [one for bus in _list(buses) for one in _below(bus, None, sighting.memory, 0)]
    return tuple(sorted(found, key=lambda one: one.address))


def read(sighting: Sighting) -> Fingerprint:
    """Section `pci`."""
    notes = Notes(section="pci")
    found = functions(sighting)
    if not found:
        notes.leave_out("", sighting.missing.get("query-pci", "QEMU listed no PCI functions"))
    for one in found:
        _function(notes, one)
    return notes.fingerprint()


def _below(bus: Any, behind: Address | None, memory: Mapping[str, bytes], depth: int) -> Iterator[Seen]:
    if not isinstance(bus, dict) or depth > _MOST_DEPTH:
        return
    for device in _list(bus.get("devices")):
        if not isinstance(device, dict):
            continue
        told = [device.get(name) for name in ("bus", "slot", "function")]
        place = [part for part in told if isinstance(part, int) and 0 <= part <= 0xFF]
        if len(place) != len(told):
            continue
        address = Address(0, place[0], place[1], place[2])
        config = memory.get(f"pci/{address}", b"")
        if len(config) < _HEADER or set(config[:4]) == {0xFF}:
            config = b""
        yield Seen(address=address, behind=behind, told=device, config=config)
        yield from _below(device.get("pci_bridge"), address, memory, depth + 1)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _function(notes: Notes, one: Seen) -> None:
    name, config = str(one.address), one.config
    notes.fact(f"{name}/ids", _ids(one))
    if one.behind:
        notes.fact(f"{name}/behind", one.behind)
    for region in _list(one.told.get("regions")):
        if isinstance(region, dict):
            _bar(notes, name, region)
    if not config:
        notes.leave_out(name, "its config space was not read; there are only ids and BARs")
        return
    notes.fact(f"{name}/class", f"{number(config, 9, 3):06x}")
    notes.fact(f"{name}/revision", f"{config[8]:02x}")
    notes.fact(f"{name}/multifunction", bool(config[0x0E] & 0x80))
    pin = config[0x3D]
    notes.fact(f"{name}/interrupt pin", "ABCD"[pin - 1] if 1 <= pin <= 4 else "none")
    if one.header != _BRIDGE:
        notes.fact(f"{name}/subsystem", IdPair(number(config, 0x2C, 2), number(config, 0x2E, 2)))
    for capability in (*conventional(config), *extended(config)):
        where = notes.place(f"{name}/{capability.name}")
        for part, value in capability.facts:
            notes.fact(f"{where}/{part}" if part else where, value)


def _ids(one: Seen) -> str:
    if one.config:
        return str(IdPair(number(one.config, 0, 2), number(one.config, 2, 2)))
    ids = one.told.get("id")
    pair = [ids.get(name) for name in ("vendor", "device")] if isinstance(ids, dict) else []
    return ":".join(f"{part:04x}" for part in pair if isinstance(part, int)) or "not told"


def _bar(notes: Notes, name: str, region: Mapping[str, Any]) -> None:
    index, size = region.get("bar"), region.get("size")
    if not isinstance(index, int) or not isinstance(size, int):
        return
    kind = str(region.get("type", ""))
    words = [kind]
    if kind == "memory":
        words.append("64-bit" if region.get("mem_type_64") else "32-bit")
        words += ["prefetchable"] if region.get("prefetch") else []
    notes.fact(f"{name}/{'ROM' if index == _ROM else f'BAR {index}'}", " ".join([*words, amount(size)]))
