"""The guest's memory as a device sees it: what DMA_MAP messages gave, by I/O virtual address."""

from __future__ import annotations

import bisect
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.lab.device.protocol import DmaMap, DmaUnmap, ProtocolError

LIMIT = 65536
_READ, _WRITE = 0x1, 0x2


class Overlaps(Exception):
    """A mapping where there is one already."""


class NotMapped(Exception):
    """DMA to an address that nobody has mapped, or not for this, or whose file has not enough bytes."""


_File = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Mapping:
    what: DmaMap
    file: _File | None


@dataclass(slots=True)
class _Open:
    fd: int
    uses: int = 0


class GuestMemory:
    """Mappings and their files; one descriptor for each file, which is closed with its last mapping.

    A vIOMMU that maps page by page sends the same file thousands of times, more than a process may have open.
    """

    def __init__(self) -> None:
        self._files: dict[_File, _Open] = {}
        self._mappings: dict[int, _Mapping] = {}
        self._starts: list[int] = []

    def map(self, what: DmaMap, fd: int | None) -> None:
        """Take a mapping; it owns `fd` from then on.

        Raises Overlaps, ValueError for a descriptor that is no file, or ProtocolError where there are too many.
        """
        file = None if fd is None else _identity(fd)
        end = what.address + what.size
        position = bisect.bisect_left(self._starts, what.address)
        before = self._mappings[self._starts[position - 1]].what if position else None
        after = self._starts[position] if position < len(self._starts) else None
        if (before and before.address + before.size > what.address) or (after is not None and after < end):
            raise Overlaps(f"{what.size} bytes at {what.address:#x}")
        if len(self._mappings) >= LIMIT:
            raise ProtocolError(f"more than {LIMIT} DMA mappings")
        if fd is not None and file is not None:
            known = self._files.setdefault(file, _Open(fd))
            known.uses += 1
            if known.fd != fd:
                os.close(fd)
        self._mappings[what.address] = _Mapping(what, file)
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
        data = b""
        # Not by mapping the file: one that a client makes shorter would end us with SIGBUS.
        for fd, offset, count in [*self._pieces(address, size, _READ)]:
            piece = os.pread(fd, count, offset)
            if len(piece) < count:
                raise NotMapped(f"{size} bytes at {address:#x}: the file is shorter")
            data += piece
        return data

    def write(self, address: int, data: bytes) -> None:
        """Write by DMA; raises NotMapped, and then nothing is written."""
        done = 0
        for fd, offset, count in [*self._pieces(address, len(data), _WRITE)]:
            os.pwrite(fd, data[done : done + count], offset)
            done += count

    def _pieces(self, address: int, size: int, use: int) -> Iterator[tuple[int, int, int]]:
        """Descriptor, offset and size of what a range consists of: a vIOMMU maps page by page."""
        while size:
            position = bisect.bisect_right(self._starts, address)
            mapping = self._mappings[self._starts[position - 1]] if position else None
            left = mapping.what.address + mapping.what.size - address if mapping else 0
            if mapping is None or left <= 0 or mapping.file is None or not mapping.what.flags & use:
                raise NotMapped(f"{size} bytes at {address:#x}")
            count = min(size, left)
            yield self._files[mapping.file].fd, mapping.what.offset + address - mapping.what.address, count
            address, size = address + count, size - count

    def _close(self, mapping: _Mapping) -> None:
        if mapping.file is None:
            return
        known = self._files[mapping.file]
        known.uses -= 1
        if not known.uses:
            os.close(known.fd)
            del self._files[mapping.file]


def _identity(fd: int) -> _File:
    """Which file it is and how it is open; raises ValueError where it is none: a pipe could keep us waiting."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("memory that is no file")
    return status.st_dev, status.st_ino, fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
