"""Paths as a host sees them, looked up below the directory that holds its file system."""

from __future__ import annotations

import errno
from pathlib import Path

_MOST_LINKS = 40  # path_resolution(7)


def real(root: Path, path: str) -> str:
    """The absolute path of `path` on the host whose file system is `root`, with every link followed.

    Links and `..` lead nowhere outside: they are followed as in a chroot. The last parts need not exist.
    Raises OSError where links go in a circle.
    """
    todo = path.split("/")[::-1]
    found: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            del found[-1:]
            continue
        here = root.joinpath(*found, part)
        if not here.is_symlink():
            found.append(part)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, "too many links", path)
        target = str(here.readlink())
        if target.startswith("/"):
            found.clear()
        todo += target.split("/")[::-1]
    return "/" + "/".join(found)


def inside(root: Path, path: str) -> Path:
    """Where `path` of the host is below `root`: see `real`."""
    return root / real(root, path).lstrip("/")
