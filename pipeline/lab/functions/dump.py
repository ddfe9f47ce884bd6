"""Configuration spaces as the UEFI shell told them, and how they differ from boot to boot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.lab import payload
from pipeline.lab.functions.script import CONFIG, MIRROR
from pipeline.pci import IdPair

SIZE = 0x100
# What firmware and drivers write (PCI Local Bus 3.0, 6.2), first byte and first byte after.
SOFTWARE = {
    "command and status": (0x04, 0x08),
    "cache line and latency": (0x0C, 0x0E),
    "BARs": (0x10, 0x28),
    "ROM's address": (0x30, 0x34),
    "interrupt line": (0x3C, 0x3D),
}
_PLACE = re.compile(r"^\s*Memory Address ([0-9A-F]{16}) ")
_ROW = re.compile(r"^\s*([0-9A-F]{8,16}): ((?:[0-9A-F]{2}[ -]){15}[0-9A-F]{2})\s")
_PCIEXBAR = re.compile(r"^\s*0x([0-9A-F]{8})\s*$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dump:
    """What one boot told: `mirror` is where configuration space is in memory, `spaces` 256 bytes each by place.

    A place is bus and function number; the device number behind a root port is 0.
    """

    mirror: int
    spaces: Mapping[tuple[int, int], bytes]

    def find(self, ids: IdPair, function: int) -> tuple[int, int] | None:
        """Where the function with the ids is."""
        wanted = ids.vendor.to_bytes(2, "little") + ids.device.to_bytes(2, "little")
        for place, space in sorted(self.spaces.items()):
            if place[1] == function and space[:4] == wanted:
                return place
        return None


def read(text: str) -> dict[str, Dump]:
    """The dumps in a serial log by their names; one that does not come to its end is left out."""
    found: dict[str, Dump] = {}
    name, mirror, place = "", 0, None
    spaces: dict[tuple[int, int], bytes] = {}
    for line in map(payload.clean, text.splitlines()):
        if line.startswith(CONFIG):
            what = line.removeprefix(CONFIG).strip()
            if what == "end" and name:
                whole = {at: space for at, space in spaces.items() if len(space) == SIZE}
                found[name] = Dump(mirror=mirror, spaces=whole)
            name, mirror, place, spaces = ("" if what == "end" else what), 0, None, {}
        elif not name:
            continue
        elif match := _PLACE.match(line):
            address = int(match[1], 16) - MIRROR
            place = (address >> 20 & 0xFF, address >> 12 & 7)
            spaces[place] = b""
        elif place is not None and (match := _ROW.match(line)):
            spaces[place] += bytes.fromhex(match[2].replace("-", " "))
        elif place is None and not mirror and (match := _PCIEXBAR.match(line)):
            # The lowest bit says whether it is on.
            mirror = int(match[1], 16) & ~1
    return found


def difference(before: Dump, after: Dump | None, ids: IdPair, function: int) -> tuple[bool, str]:
    """Whether the configuration space of a function is the same in two boots, and what was seen, for people."""
    if before.mirror != MIRROR:
        return (
            False,
            f"not told: the firmware has configuration space at {before.mirror:#x}, not at {MIRROR:#x}",
        )
    place = before.find(ids, function)
    if place is None:
        return False, f"no function {function} with {ids} in the first boot"
    if after is None:
        return False, "not told: the boot did not come to its end"
    space = after.spaces.get(place, b"")
    if not space or set(space[:4]) == {0xFF}:
        moved = after.find(ids, function)
        if moved:
            return False, f"moved from bus {place[0]:02x} to {moved[0]:02x}"
        return False, "did not come back after its reset: configuration space reads ff everywhere"
    kept = [at for at in range(SIZE) if not any(first <= at < end for first, end in SOFTWARE.values())]
    wrong = [at for at in kept if space[at] != before.spaces[place][at]]
    if wrong:
        at = wrong[0]
        return False, (
            f"{len(wrong)} bytes differ, the first at {at:#04x}: {before.spaces[place][at]:02x} became {space[at]:02x}"
        )
    return True, f"{len(kept)} bytes the same"
