"""What is behind the BARs of an emulated function: one file in memory each, which a client may map."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Mapping


class Bars:
    """The contents of BARs by region index; what was never written is zero and takes no memory.

    `sizes`: in bytes by index.
    """

    def __init__(self, sizes: Mapping[int, int]) -> None:
        self._sizes = sizes
        self._files: dict[int, int] = {}
        self._maps: dict[int, mmap.mmap] = {}

    def size(self, region: int) -> int:
        """In bytes, 0 where there is no such BAR."""
        return self._sizes.get(region, 0)

    def read(self, region: int, offset: int, count: int) -> bytes:
        """Raises ValueError outside the BAR."""
        return self._behind(region, offset, count)[offset : offset + count]

    def write(self, region: int, offset: int, data: bytes) -> None:
        """Raises ValueError outside the BAR."""
        self._behind(region, offset, len(data))[offset : offset + len(data)] = data

    def file(self, region: int) -> int:
        """The descriptor of a BAR's contents, for a client to map; it stays this class's own."""
        self._map(region)
        return self._files[region]

    def reset(self) -> None:
        """Zero everywhere; a client that has mapped a BAR sees it too."""
        for contents in self._maps.values():
            # A hole in the file, where a shorter file would kill who has it mapped (madvise(2)).
            contents.madvise(mmap.MADV_REMOVE)

    def forget(self) -> None:
        """New contents for a new client: the last one may have them mapped still."""
        for contents in self._maps.values():
            contents.close()
        self._maps.clear()
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()

    def _behind(self, region: int, offset: int, count: int) -> mmap.mmap:
        size = self.size(region)
        if offset < 0 or offset + count > size:
            raise ValueError(f"{count} bytes at {offset:#x} of region {region} ({size} bytes)")
        return self._map(region)

    def _map(self, region: int) -> mmap.mmap:
        if region not in self._maps:
            size = self._sizes[region]
            # Only what is used takes memory: a BAR may be larger than the machine's. The seals keep a client
            # from making it shorter than what is mapped here.
            fd = os.memfd_create(f"bar{region}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                os.ftruncate(fd, size)
                fcntl.fcntl(
                    fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
                )
                self._maps[region] = mmap.mmap(fd, size)
            except BaseException:
                os.close(fd)
                raise
            self._files[region] = fd
        return self._maps[region]
