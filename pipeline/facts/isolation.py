"""Functions that the kernel takes for isolated from their slot mates although they have no ACS."""

from __future__ import annotations

from functools import cache

from pipeline.facts import table
from pipeline.pci import IdPair


def apart(ids: IdPair) -> bool:
    """Whether the functions of such a card are in groups of their own."""
    return ids in _known()


@cache
def _known() -> frozenset[IdPair]:
    return frozenset(
        IdPair.parse(f"{entry['vendor']}:{device}")
        for entry in table("isolation")["apart"]
        for device in entry["devices"]
    )
