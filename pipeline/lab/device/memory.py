"""The guest's memory as a device sees it: what DMA_MAP messages gave, by I/O virtual address."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pipeline.lab.device.protocol import DmaMap, DmaUnmap, ProtocolError

LIMIT = 65536


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

    def map(self, what: DmaMap, fd: int | None) -> None:
        """Take a mapping; it owns `fd` from then on. Raises ProtocolError where it overlaps another."""
        end = what.address + what.size
        for other in self._mappings.values():
            if what.address < other.what.address + other.what.size and other.what.address < end:
                raise ProtocolError(f"a DMA mapping at {what.address:#x} overlaps another")
        if len(self._mappings) >= LIMIT:
            raise ProtocolError(f"more than {LIMIT} DMA mappings")
        self._mappings[what.address] = _Mapping(what, fd)

    def unmap(self, what: DmaUnmap) -> None:
        """Drop every mapping that lies in the range."""
        for address in list(self._mappings):
            if what.all or what.address <= address < what.address + what.size:
                self._close(self._mappings.pop(address))

    def clear(self) -> None:
        """Drop everything."""
        for mapping in self._mappings.values():
            self._close(mapping)
        self._mappings.clear()

    def read(self, address: int, size: int) -> bytes:
        """Read by DMA; raises NotMapped."""
        mapping, fd = self._find(address, size)
        return os.pread(fd, size, mapping.offset + address - mapping.address)

    def write(self, address: int, data: bytes) -> None:
        """Write by DMA; raises NotMapped."""
        mapping, fd = self._find(address, len(data))
        os.pwrite(fd, data, mapping.offset + address - mapping.address)

    def _find(self, address: int, size: int) -> tuple[DmaMap, int]:
        for mapping in self._mappings.values():
            what = mapping.what
            if what.address <= address and address + size <= what.address + what.size:
                if mapping.fd is None:
                    break
                return what, mapping.fd
        raise NotMapped(f"{size} bytes at {address:#x}")

    @staticmethod
    def _close(mapping: _Mapping) -> None:
        if mapping.fd is not None:
            os.close(mapping.fd)
