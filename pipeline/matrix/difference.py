"""A difference between two fingerprints, and the paths of facts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

_NUMBER = re.compile(r"([0-9]+)")
# Sections whose devices have paths of several parts.
_DEEP = {"devices"}


class Kind(Enum):
    """What happened to a fact, or to a device as a whole."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


class Weight(Enum):
    """What a difference is to the guest."""

    HARMLESS = "harmless"
    NOTICEABLE = "noticeable"
    """The guest sees it: Windows may detect hardware anew, ask for activation, or drop an address."""
    BREAKS = "breaks"
    """A check held before and fails now."""

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return [Weight.BREAKS, Weight.NOTICEABLE, Weight.HARMLESS].index(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """`path` is that of a fact, or of a device or table whose facts are in `details`.

    None is what is not there. `why` says what the weight comes from. `gathered` ones are only a heading for their
    `details`: a table of code, or the same difference of several devices (`pci/*/PCIe/extended tag`).
    """

    path: str
    before: str | None
    after: str | None
    kind: Kind
    weight: Weight
    why: str = ""
    details: tuple[Difference, ...] = ()
    gathered: bool = False


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Sorts numbers in a text as numbers."""
    return tuple(
        (int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in _NUMBER.split(text)
    )


def group(path: str) -> str:
    """The device, table or leaf that a fact belongs to: its first two parts; all but the last of a device's."""
    parts = path.split("/")
    return "/".join(parts[:-1] if parts[0] in _DEEP and len(parts) > 2 else parts[:2])


def flat(differences: Iterable[Difference]) -> Iterator[Difference]:
    """Each difference, and after it those it is made of."""
    for one in differences:
        yield one
        yield from flat(one.details)


def owner(path: str, value: str) -> str:
    """The device or table that a fact is of; that of a device's type is the device (`devices/00:1f.0/isa-i8259@32`)."""
    kind = path.rpartition("/")[2].partition("@")[0].partition("#")[0]
    return path if path.split("/")[0] in _DEEP and value == kind else group(path)


def ordered(found: Iterable[Difference]) -> tuple[Difference, ...]:
    """By section, then by path."""
    return tuple(
        sorted(found, key=lambda one: (one.path.split("/")[0], natural(one.path), one.path, one.kind.value))
    )
