"""The device tree that the monitor's `info qtree` prints (QEMU system/qdev-monitor.c qbus_print, qdev_print)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_DEVICE = re.compile(r'dev: ([^,"]+), id "(.*)"$')
_PROPERTY = re.compile(r"([A-Za-z0-9_.\-\[\]]+) = (.*)$")
_PCI = re.compile(r"class .*, addr ([0-9a-f]{2}:[0-9a-f]{2}\.[0-7]), pci id")
_NUMBER = re.compile(r"(-?\d+) \(.*\)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device: `pci` is its address in the guest (empty where it is no PCI function), `parent` an index."""

    kind: str
    id: str
    parent: int | None
    properties: Mapping[str, str]
    pci: str


@dataclass(kw_only=True, slots=True)
class _Open:
    indent: int
    index: int


@dataclass(kw_only=True, slots=True)
class _Growing:
    kind: str
    id: str
    parent: int | None
    properties: dict[str, str] = field(default_factory=dict)
    pci: str = ""


def devices(text: str) -> tuple[Device, ...]:
    """Every device in the order of the text, parents before what is on their buses."""
    return tuple(
        Device(kind=one.kind, id=one.id, parent=one.parent, properties=one.properties, pci=one.pci)
        for one in _grow(text)
    )


def _grow(text: str) -> list[_Growing]:
    found: list[_Growing] = []
    above: list[_Open] = []
    for line in text.splitlines():
        stripped = line.lstrip(" ")
        indent = len(line) - len(stripped)
        while above and above[-1].indent >= indent:
            above.pop()
        if match := _DEVICE.match(stripped):
            parent = above[-1].index if above else None
            above.append(_Open(indent=indent, index=len(found)))
            found.append(_Growing(kind=match[1], id=match[2], parent=parent))
        elif above and indent == above[-1].indent + 2:
            _line(found[above[-1].index], stripped)
    return found


def _line(device: _Growing, line: str) -> None:
    if match := _PROPERTY.match(line):
        device.properties[match[1]] = _value(match[2])
    elif match := _PCI.match(line):
        device.pci = match[1]


def _value(text: str) -> str:
    """Numbers have what they mean behind them, which is not the same in every release."""
    if match := _NUMBER.match(text):
        return match[1]
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def named(found: tuple[Device, ...]) -> Iterator[tuple[str, Device]]:
    """Each device with a name that does not depend on the order: its PCI address, or its type below its parent.

    Where a parent has several of a type, what tells them apart follows: `00:1f.0/isa-i8259@32`.
    """
    names: list[str] = []
    families: dict[tuple[int | None, str], int] = {}
    for one in found:
        families[(one.parent, one.kind)] = families.get((one.parent, one.kind), 0) + 1
    for one in found:
        part = one.kind if families[(one.parent, one.kind)] == 1 else f"{one.kind}@{_mark(one)}"
        above = names[one.parent] if one.parent is not None and not _is_host(found[one.parent]) else ""
        names.append(one.pci or "/".join(filter(None, (above, part))))
        yield names[-1], one


def _mark(one: Device) -> str:
    keys = ("address", "iobase", "base", "name", "port", "unit", "index")
    return one.id or next((one.properties[key] for key in keys if key in one.properties), "")


def _is_host(one: Device) -> bool:
    """Whether it is the machine's PCI host, under which everything is."""
    return one.kind.endswith("-pcihost")
