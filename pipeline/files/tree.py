"""Where files come from: a directory that stands for /, or a mapping in memory. Nothing outside it is ever read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Protocol

from pipeline.errors import BadInput, Place

LIMIT = 1 << 20
# How the copies end that mending keeps of old files, before the number of all but the first.
COPY = ".before-dryboot"
_NAMES = 20_000
_LINKS = 40
_PARTS = 128
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_ENTER = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_DIRECTORY | os.O_CLOEXEC


class Refused(Exception):
    """A file is there, but is not read; the text says why."""


class Tree(Protocol):
    """A root file system: paths are relative to it, with `/` between the parts and no `.` or `..` of their own."""

    def read(self, path: str, *, limit: int = LIMIT) -> bytes | None:
        """The content of a file, None where there is none.

        Raises Refused for what is no plain file, cannot be read or has more than `limit` bytes.
        """
        ...

    def names(self, path: str) -> tuple[str, ...]:
        """Names in a directory, sorted; empty where there is none."""
        ...

    def is_directory(self, path: str) -> bool:
        """Whether there is a directory."""
        ...

    def target(self, path: str) -> str | None:
        """What a symbolic link holds; None where there is none."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is anything, be it a link that leads nowhere."""
        ...

    def executable(self, path: str) -> bool | None:
        """Whether a file may be executed, None where the tree does not know modes or has no such file."""
        ...


@dataclass(frozen=True)
class Files:
    """A tree in memory: contents by their relative path."""

    contents: Mapping[str, bytes]

    @cached_property
    def _folders(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, set[str]] = {}
        for path in self.contents:
            parts = path.split("/")
            for depth in range(len(parts)):
                found.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
        return {path: tuple(sorted(names)) for path, names in found.items()}

    def read(self, path: str, *, limit: int = LIMIT) -> bytes | None:
        """See Tree."""
        content = self.contents.get(path)
        if content is not None and len(content) > limit:
            raise Refused(_too_large(limit))
        return content

    def names(self, path: str) -> tuple[str, ...]:
        """See Tree."""
        return self._folders.get(path, ())

    def is_directory(self, path: str) -> bool:
        """See Tree."""
        return path in self._folders

    def target(self, path: str) -> str | None:
        """See Tree: there are no links."""
        return None

    def exists(self, path: str) -> bool:
        """See Tree."""
        return path in self.contents or path in self._folders

    def executable(self, path: str) -> bool | None:
        """See Tree: not known."""
        return None


class Directory:
    """A directory that is taken for /, as chroot(2) would: links are followed inside it, `..` stops at it.

    Every part of a path is opened from the directory before it and never through a link, so that a link that appears
    while it reads leads nowhere either. Devices, FIFOs and sockets are not opened.
    """

    def __init__(self, root: Path) -> None:
        """Raises BadInput where `root` is no directory that can be read."""
        try:
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise BadInput(
                f"{error.strerror}: it cannot be read as the root of a machine",
                place=Place(file=str(root)),
                hint="give the directory that holds etc, such as / or a bundle",
            ) from error

    def close(self) -> None:
        """Give the descriptor back; nothing can be read afterwards."""
        os.close(self._root)

    def read(self, path: str, *, limit: int = LIMIT) -> bytes | None:
        """See Tree."""
        try:
            with self._found(path) as (parent, name, kind):
                if not stat.S_ISREG(kind):
                    raise Refused("it is no plain file")
                number = os.open(name, _READ, dir_fd=parent)
                with os.fdopen(number, "rb") as file:
                    if not stat.S_ISREG(os.fstat(number).st_mode):
                        raise Refused("it is no plain file")
                    content = file.read(limit + 1)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                return None
            raise Refused(error.strerror or str(error)) from error
        if len(content) > limit:
            raise Refused(_too_large(limit))
        return content

    def names(self, path: str) -> tuple[str, ...]:
        """See Tree; of a directory with very many names, only some."""
        try:
            with self._found(path) as (parent, name, kind):
                if not stat.S_ISDIR(kind):
                    return ()
                number = os.open(name, _ENTER, dir_fd=parent)
                try:
                    with os.scandir(number) as entries:
                        names = [entry.name for entry in islice(entries, _NAMES)]
                finally:
                    os.close(number)
        except (OSError, Refused):
            return ()
        return tuple(sorted(name for name in names if name.isprintable()))

    def is_directory(self, path: str) -> bool:
        """See Tree."""
        return stat.S_ISDIR(self._kind(path))

    def target(self, path: str) -> str | None:
        """See Tree."""
        head, _, name = path.rpartition("/")
        try:
            with self._found(head) as (parent, folder, _):
                number = os.open(folder, _ENTER, dir_fd=parent)
                try:
                    return os.readlink(name, dir_fd=number)
                finally:
                    os.close(number)
        except (OSError, Refused):
            return None

    def exists(self, path: str) -> bool:
        """See Tree."""
        head, _, name = path.rpartition("/")
        return name in self.names(head) if head else bool(self._kind(path))

    def executable(self, path: str) -> bool | None:
        """See Tree."""
        kind = self._kind(path)
        return bool(kind & 0o111) if stat.S_ISREG(kind) else None

    def _kind(self, path: str) -> int:
        """Mode of what is there, 0 where nothing is."""
        try:
            with self._found(path) as (_, _, kind):
                return kind
        except (OSError, Refused):
            return 0

    @contextmanager
    def _found(self, path: str) -> Iterator[tuple[int, str, int]]:
        """The directory that holds the end of `path`, its name there and its mode; no link is left in it."""
        opened: list[int] = []
        todo = _parts(path)[::-1]
        links = 0
        try:
            while True:
                parent = opened[-1] if opened else self._root
                if not todo:
                    yield parent, ".", os.stat(".", dir_fd=parent).st_mode
                    return
                name = todo.pop()
                if name == "..":
                    if opened:
                        os.close(opened.pop())
                    continue
                kind = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
                if stat.S_ISLNK(kind):
                    links += 1
                    target = os.readlink(name, dir_fd=parent)
                    todo += _parts(target)[::-1]
                    if links > _LINKS or len(todo) > _PARTS:
                        raise Refused("too many levels of symbolic links")
                    if target.startswith("/"):
                        while opened:
                            os.close(opened.pop())
                elif not todo:
                    yield parent, name, kind
                    return
                else:
                    if len(opened) >= _PARTS:
                        raise Refused("its path is too deep")
                    opened.append(os.open(name, _ENTER, dir_fd=parent))
        finally:
            for number in opened:
                os.close(number)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def _too_large(limit: int) -> str:
    return f"it has more than {limit >> 20} MiB" if limit >> 20 else f"it has more than {limit >> 10} KiB"
