"""The guest's memory as a device sees it: what DMA_MAP messages gave, by I/O virtual address."""

from __future__ import annotations

import bisect
import os
from dataclasses import dataclass

from pipeline.lab.device.protocol import DmaMap, DmaUnmap, ProtocolError

LIMIT = 65536


class Overlaps(Exception):
    """A mapping where there is one already."""


class NotMapped(Exception):
    """DMA to an address that nobody has mapped: the IOMMU would have blocked it."""


@dataclass(frozen=True, slots=True)
class _Mapping:
    what: DmaMap
    fd: int | None


class GuestMemory:
    """Mappings and their file descriptors; every descriptor is closed with its mapping."""

    def __init__(self) -> None:
        self._mappings: dict[int, _Mapping] = {}
        self._starts: list[int] = []

    def map(self, what: DmaMap, fd: int | None) -> None:
        """Take a mapping; it owns `fd` from then on. Raises Overlaps, or ProtocolError where there are too many."""
        end = what.address + what.size
        position = bisect.bisect_left(self._starts, what.address)
        before = self._mappings[self._starts[position - 1]].what if position else None
        after = self._starts[position] if position < len(self._starts) else None
        if (before and before.address + before.size > what.address) or (after is not None and after < end):
            raise Overlaps(f"{what.size} bytes at {what.address:#x}")
        if len(self._mappings) >= LIMIT:
            raise ProtocolError(f"more than {LIMIT} DMA mappings")
        self._mappings[what.address] = _Mapping(what, fd)
        self._starts.insert(position, what.address)

    def unmap(self, what: DmaUnmap) -> None:
        """Drop every mapping that lies in the range."""
        first = 0 if what.all else bisect.bisect_left(self._starts, what.address)
        last = len(self._starts) if what.all else bisect.bisect_left(self._starts, what.address + what.size)
        for address in self._starts[first:last]:
            self._close(self._mappings.pop(address))
        del self._starts[first:last]

    def clear(self) -> None:
        """Drop everything."""
        for mapping in self._mappings.values():
            self._close(mapping)
        self._mappings.clear()
        self._starts.clear()

    def read(self, address: int, size: int) -> bytes:
        """Read by DMA; raises NotMapped."""
        mapping, fd = self._find(address, size)
        return os.pread(fd, size, mapping.offset + address - mapping.address)

    def write(self, address: int, data: bytes) -> None:
        """Write by DMA; raises NotMapped."""
        mapping, fd = self._find(address, len(data))
        os.pwrite(fd, data, mapping.offset + address - mapping.address)

    def _find(self, address: int, size: int) -> tuple[DmaMap, int]:
        position = bisect.bisect_right(self._starts, address)
        if position:
            mapping = self._mappings[self._starts[position - 1]]
            what = mapping.what
            if address + size <= what.address + what.size and mapping.fd is not None:
                return what, mapping.fd
        raise NotMapped(f"{size} bytes at {address:#x}")

    @staticmethod
    def _close(mapping: _Mapping) -> None:
        if mapping.fd is not None:
            os.close(mapping.fd)
