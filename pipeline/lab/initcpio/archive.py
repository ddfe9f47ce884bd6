"""The cpio archive that the kernel unpacks as initramfs.

Source: kernel Documentation/driver-api/early-userspace/buffer-format.rst ("newc").
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

_MAGIC = b"070701"
_HEADER = 110
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A member of the archive: path without leading slash, st_mode, contents (a link's target), device numbers."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(path: str) -> Entry:
    """A directory that everybody may enter."""
    return Entry(path=path, mode=stat.S_IFDIR | 0o755)


def file(path: str, data: bytes, *, executable: bool = False) -> Entry:
    """A regular file."""
    return Entry(path=path, mode=stat.S_IFREG | (0o755 if executable else 0o644), data=data)


def link(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path=path, mode=stat.S_IFLNK | 0o777, data=target.encode())


def write(entries: Iterable[Entry], stream: BinaryIO) -> None:
    """Write the archive with parents before children; same entries, same bytes."""
    members: dict[str, Entry] = {}
    for entry in entries:
        parts = entry.path.split("/")
        for length in range(1, len(parts)):
            parent = "/".join(parts[:length])
            members.setdefault(parent, directory(parent))
        members[entry.path] = entry
    for inode, (_, entry) in enumerate(sorted(members.items()), start=1):
        _member(stream, entry, inode)
    _member(stream, Entry(path=_TRAILER, mode=0), 0)


def _member(stream: BinaryIO, entry: Entry, inode: int) -> None:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    header = _MAGIC + b"".join(b"%08x" % field for field in fields) + name
    stream.write(header + b"\0" * (-len(header) % 4))
    stream.write(entry.data + b"\0" * (-len(entry.data) % 4))


def contents(stream: BinaryIO) -> dict[str, str]:
    """Paths of an archive's members, each with its target where it is a symbolic link, else empty.

    Raises ValueError where the stream is no archive of this kind.
    """
    found: dict[str, str] = {}
    while True:
        header = stream.read(_HEADER)
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            raise ValueError("no cpio archive")
        mode, size, length = (int(header[place : place + 8], 16) for place in (14, 54, 94))
        name = stream.read(length + -(_HEADER + length) % 4)[: length - 1].decode()
        if name == _TRAILER:
            return found
        if stat.S_ISLNK(mode):
            found[name] = stream.read(size).decode()
            stream.seek(-size % 4, 1)
        else:
            found[name] = ""
            stream.seek(size + -size % 4, 1)
