"""Puts a bundle on disk: the old output or the new one is there at any moment, never a mixture.

Writers of one directory take turns by a lock on the parent directory, which ends with the process. So what
a writer finds of another one's hidden directories is left over from a killed one, and is cleared.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import BadInput, LabFault
from pipeline.render.bundle import MANIFEST, TOOL, Bundle
from pipeline.render.mode import mode

KEPT = ("report",)
LOCK_TIMEOUT = 10.0

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV}
_NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP}
_MANIFEST_LIMIT = 1 << 20


def write(bundle: Bundle, output: Path) -> None:
    """Make the directory `output` hold the bundle, and the entries in KEPT of an older build of ours.

    Raises BadInput where `output` is a symbolic link or holds anything that no build wrote, or where it
    cannot be written; it is then as it was.
    """
    if output.name in {"", ".."}:
        output = output.resolve()
    if not output.name:
        raise BadInput(f"{output} cannot be replaced", hint="name a directory that is for the output alone")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output = output.parent.resolve() / output.name
        with _turn(output.parent) as alone:
            if alone:
                _sweep(output)
            _check_ours(output, output)
            _replace(bundle, output)
    except OSError as error:
        raise BadInput(f"cannot write {output}: {error.strerror}") from error


def _replace(bundle: Bundle, output: Path) -> None:
    new = _hidden(output, "tmp")
    try:
        new.mkdir()
        _fill(bundle, new)
        if os.path.lexists(output):
            _swap(new, output)
            try:
                _check_ours(new, output)
                _carry(new, output)
            except BaseException:
                _carry(output, new)
                _swap(new, output)
                raise
        else:
            new.rename(output)
        _sync(output.parent)
    finally:
        _discard(new, output)


def _fill(bundle: Bundle, directory: Path) -> None:
    made = {directory}
    for name, data in bundle.files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made.update(directory / parent for parent in PurePosixPath(name).parents)
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        path.chmod(mode(name))
    for parent in made:
        _sync(parent)


def _check_ours(directory: Path, output: Path) -> None:
    """Refuse what a build did not write; `output` is the name to tell the owner."""
    hint = "choose another --output, or remove it yourself"
    if directory.is_symlink():
        raise BadInput(f"{output} is a symbolic link", hint="name the directory that it leads to")
    if not directory.exists():
        return
    if not directory.is_dir():
        raise BadInput(f"{output} is not a directory", hint=hint)
    if _working_directory().is_relative_to(output):
        raise BadInput(f"{output} cannot be replaced while it is the working directory", hint="cd ..")
    entries = {entry.name for entry in directory.iterdir()} - set(KEPT)
    if not entries:
        return
    ours = written(directory)
    if ours is None:
        raise BadInput(f"{output} is not the output of a build: it has no {MANIFEST} of ours", hint=hint)
    for path in _below(directory):
        if path not in ours:
            raise BadInput(f"{output / path} was not written by a build", hint="move it elsewhere")


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


def written(directory: Path) -> set[str] | None:
    """The files that the manifest in a directory lists, None where it is not a manifest of ours."""
    path = directory / MANIFEST
    try:
        if path.is_symlink() or path.stat().st_size > _MANIFEST_LIMIT:
            return None
        content: Any = json.loads(path.read_bytes())
        return {MANIFEST, *content["files"]} if content["tool"]["name"] == TOOL else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _below(directory: Path) -> Iterator[str]:
    """Relative paths of everything that is not a directory, without what is kept."""
    for parent, folders, names in os.walk(directory):
        if Path(parent) == directory:
            folders[:] = [folder for folder in folders if folder not in KEPT]
            names = [name for name in names if name not in KEPT]
        links = [folder for folder in folders if (Path(parent) / folder).is_symlink()]
        for name in (*names, *links):
            yield (Path(parent) / name).relative_to(directory).as_posix()


def _carry(source: Path, target: Path) -> None:
    """Move what is kept, where the target does not have it already."""
    for name in KEPT:
        if os.path.lexists(source / name) and not os.path.lexists(target / name):
            (source / name).rename(target / name)


def _swap(one: Path, other: Path) -> None:
    """Exchange two directories; in one step where the file system can."""
    if _exchange(one, other):
        return
    aside = _hidden(other, "old")
    other.rename(aside)
    try:
        one.rename(other)
    except BaseException:
        aside.rename(other)
        raise
    aside.rename(one)


def _exchange(one: Path, other: Path) -> bool:
    import ctypes

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _sweep(output: Path) -> None:
    """Clear what killed writers left; an output that one had moved aside goes back."""
    for old in _leftovers(output, "old"):
        if os.path.lexists(output):
            _discard(old, output)
        else:
            old.rename(output)
    for new in _leftovers(output, "tmp"):
        _discard(new, output)


def _leftovers(output: Path, kind: str) -> list[Path]:
    start = f".{output.name}.{kind}-"
    found = [entry for entry in output.parent.iterdir() if entry.name.startswith(start)]
    return sorted(entry for entry in found if entry.is_dir() and not entry.is_symlink())


def _hidden(output: Path, kind: str) -> Path:
    return output.parent / f".{output.name}.{kind}-{os.getpid()}-{os.urandom(4).hex()}"


def _discard(directory: Path, output: Path) -> None:
    """Remove a directory of ours; what it keeps of an older build goes to the output first."""
    if directory.is_dir():
        if output.is_dir() and not output.is_symlink():
            _carry(directory, output)
        shutil.rmtree(directory, ignore_errors=True)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _turn(directory: Path) -> Iterator[bool]:
    """Hold the directory's lock; False where its file system has none.

    Raises LabFault when another process keeps it for longer than LOCK_TIMEOUT.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _lock(handle, directory)
    finally:
        with suppress(OSError):
            os.close(handle)


def _lock(handle: int, directory: Path) -> bool:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LabFault(f"another process holds the lock on {directory}") from None
            time.sleep(0.02)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
        else:
            return True
