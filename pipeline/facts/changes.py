"""What is known to change for a guest with QEMU's machine types, its releases and the firmware, with sources."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from pipeline.facts import table


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Why facts of a fingerprint may differ between two sides. `facts` are patterns of paths as in fnmatch.

    What has to differ between the two: the machine type's name (`machine`), QEMU's release (`release`), the
    firmware, the property `property` of a device, or what the `lab` had to leave out. `since` is the first version of
    the machine type or the release that has the change: it explains nothing where both sides have it, or neither.
    `kind` narrows it to what was `added`, `removed` or `changed` by the newer one.
    """

    facts: tuple[str, ...]
    cause: str
    text: str
    source: str
    since: str = ""
    property: str = ""
    kind: str = ""

    def fits(self, path: str) -> bool:
        """Whether it is about the fact."""
        return any(fnmatchcase(path, pattern) for pattern in self.facts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighed:
    """What facts are to a guest: `harmless` or `noticeable`, and why."""

    facts: tuple[str, ...]
    weight: str
    why: str
    source: str


@cache
def changes() -> tuple[Change, ...]:
    """All of them, in the order of the file: the first that fits counts."""
    return tuple(
        Change(
            facts=tuple(entry["facts"]),
            cause=entry["cause"],
            text=entry["text"],
            source=entry["source"],
            since=entry.get("since", ""),
            property=entry.get("property", ""),
            kind=entry.get("kind", ""),
        )
        for entry in table("changes")["change"]
    )


@cache
def _weights() -> tuple[Weighed, ...]:
    return tuple(
        Weighed(
            facts=tuple(entry["facts"]),
            weight=entry["weight"],
            why=entry["why"],
            source=entry["source"],
        )
        for entry in table("changes")["weight"]
    )


def weight(path: str) -> Weighed | None:
    """What a fact is to the guest, None where nothing is known of it."""
    for entry in _weights():
        if any(fnmatchcase(path, pattern) for pattern in entry.facts):
            return entry
    return None
