"""The two sides of a comparison: what differs between them as far as QEMU and the fingerprints tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.facts import device_types
from pipeline.fingerprint.model import Fingerprint
from pipeline.matrix.cell import Cell
from pipeline.matrix.defaults import Default, changed
from pipeline.matrix.difference import group, owner
from pipeline.matrix.machine_types import ReleaseTypes

# Facts that tell one build of the firmware from another.
_FIRMWARE = re.compile(r"smbios/0(#[0-9]+)?/.*|firmware/(version|date|vendor|UEFI)")
_ADDRESS = re.compile(r"(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sides:
    """Two cells, and the defaults that differ between their machine types (None: no QEMU tells).

    `types` has the type of each device by its path, and by a PCI address those of the function and what is on it.
    `firmware` says whether the firmware is another one, `lab` whether the lab had to leave an assigned function out on
    one side. `releases` are those that are known, by name.
    """

    before: Cell
    after: Cell
    defaults: tuple[Default, ...] | None = ()
    firmware: bool = False
    lab: bool = False
    types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    releases: Mapping[str, ReleaseTypes] = field(default_factory=dict)

    def version(self, cell: Cell) -> str:
        """That of the QEMU of a cell."""
        return self.releases[cell.qemu].number if cell.qemu in self.releases else cell.qemu

    def lineage(self, path: str) -> frozenset[str]:
        """The types of the device that a fact is of, and those above them; empty where it is of none that is known."""
        known = self.types.get(path) or self.types.get(group(path))
        return _with_those_above(known) if known else self.around(path)

    def around(self, path: str) -> frozenset[str]:
        """The types of all that is on the PCI function that a fact is of, and those above them."""
        address = _ADDRESS.search(path)
        return _with_those_above(self.types.get(address.group(), ()) if address else ())


def sides(
    before: tuple[Cell, Fingerprint],
    after: tuple[Cell, Fingerprint],
    releases: Mapping[str, ReleaseTypes] | None = None,
) -> Sides:
    """The sides of a comparison, with what the fingerprints say of devices and firmware."""
    known = releases or {}
    return Sides(
        before=before[0],
        after=after[0],
        defaults=changed(before[0], after[0], known),
        firmware=_firmware(before[1]) != _firmware(after[1]),
        lab=_left_out(before[1]) != _left_out(after[1]),
        types={**types_of(before[1]), **types_of(after[1])},
        releases=known,
    )


def types_of(fingerprint: Fingerprint) -> dict[str, tuple[str, ...]]:
    """The type of each device by its path (`devices/00:1f.0`), and those of a function and what is on it by address."""
    found: dict[str, tuple[str, ...]] = {}
    for path, value in sorted(fingerprint.facts.items()):
        words = path.split("/")
        if words[0] != "devices" or owner(path, value) != path:
            continue
        found[path] = (value,)
        if _ADDRESS.fullmatch(words[1]):
            found[words[1]] = (*found.get(words[1], ()), value)
    return found


def _left_out(fingerprint: Fingerprint) -> set[str]:
    return {path for path in fingerprint.left_out if path.startswith("devices/") and _ADDRESS.search(path)}


def _with_those_above(names: Iterable[str]) -> frozenset[str]:
    return frozenset(one for name in names for one in device_types.lineage(name))


def _firmware(fingerprint: Fingerprint) -> dict[str, str]:
    return {path: value for path, value in fingerprint.facts.items() if _FIRMWARE.fullmatch(path)}
