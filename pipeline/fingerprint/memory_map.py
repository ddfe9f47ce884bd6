"""The guest's physical address space: RAM, and fixed windows by name (`memory-map/hpet`).

Source: the flat view of the address space `memory` in the monitor's `info mtree -f` (QEMU system/memory.c
mtree_print_flatview). What is inside a BAR is left out: the firmware chooses where that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.notes import Notes, amount
from pipeline.fingerprint.pci import functions
from pipeline.fingerprint.sighting import Sighting

_VIEW = re.compile(r"^FlatView #\d+\n", re.MULTILINE)
_SYSTEM = re.compile(r'^ AS "memory", root: system$', re.MULTILINE)
_ROW = re.compile(
    r"^  ([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, ([a-z/]+)\): (.*?)(?: @[0-9a-f]{16})?(?: KVM)?$",
    re.MULTILINE,
)
_FOUR_GIB = 1 << 32
_RAM = "ram"


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Guest physical addresses from `start` up to `end`, which is not in it."""

    start: int
    end: int
    kind: str
    name: str

    def inside(self, other: tuple[int, int]) -> bool:
        """Whether it lies within `other` (start, end)."""
        return other[0] <= self.start and self.end <= other[1]


def ranges(text: str) -> Iterator[Range]:
    """The ranges of the CPUs' address space, from `info mtree -f`."""
    view = next((part for part in _VIEW.split(text) if _SYSTEM.search(part)), "")
    for match in _ROW.finditer(view):
        start, end = int(match[1], 16), int(match[2], 16) + 1
        yield Range(start=start, end=end, kind=match[3], name=match[4])


def read(sighting: Sighting) -> Fingerprint:
    """Section `memory-map`."""
    notes = Notes(section="memory-map")
    text = sighting.hmp.get("info mtree -f")
    if text is None:
        notes.leave_out("", sighting.missing.get("info mtree -f", "QEMU did not tell its memory regions"))
        return notes.fingerprint()
    bars = [bar for one in functions(sighting) for bar in _bars(one.told.get("regions"))]
    found = [one for one in ranges(text) if not any(one.inside(bar) for bar in bars)]
    below = [one.end for one in found if one.kind == _RAM and one.end <= _FOUR_GIB]
    above = [one for one in found if one.kind == _RAM and one.start >= _FOUR_GIB]
    notes.fact("RAM below 4 GiB up to", f"{max(below, default=0):#x}")
    for one in above:
        notes.fact("RAM above 4 GiB", f"{one.start:#x} {amount(one.end - one.start)}")
    for one in found:
        if one.kind != _RAM:
            notes.fact(one.name, f"{one.start:#x} {amount(one.end - one.start)} {one.kind}")
    notes.leave_out("BARs and windows of bridges", "the firmware chooses where they are")
    return notes.fingerprint()


def _bars(regions: Any) -> Iterator[tuple[int, int]]:
    for region in regions if isinstance(regions, list) else ():
        if not isinstance(region, dict) or region.get("type") != "memory":
            continue
        start, size = region.get("address"), region.get("size")
        if isinstance(start, int) and isinstance(size, int) and start >= 0:
            yield start, start + size
