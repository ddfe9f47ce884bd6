"""Writes mended texts over the files they are from: each file is the old one or the new one at any moment."""

from __future__ import annotations

import errno
import os
import signal
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import BadInput
from pipeline.files.tree import COPY
from pipeline.inputs import Target

_LIMIT = 8 << 20
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@dataclass(frozen=True, kw_only=True, slots=True)
class Mend:
    """A file, its text as it was read and as it shall be."""

    target: Target
    old: str
    new: str


def read(target: Target) -> str:
    """The text of a file; bytes that are no UTF-8 come back as they were when it is written.

    Raises BadInput where it cannot be read, or lies outside the root.
    """
    with _folder(target) as (folder, name):
        return _decoded(_content(folder, name, target))


def write(mends: Sequence[Mend]) -> tuple[str, ...]:
    """Write all of them or none; the names of the copies of the old files, beside these.

    Mode, owner and extended attributes stay. Raises BadInput where a file has changed since it was read, lies outside
    its root, or cannot be written; nothing is changed then.
    """
    with ExitStack() as stack:
        staged = []
        for mend in mends:
            folder, name = stack.enter_context(_folder(mend.target))
            if _decoded(_content(folder, name, mend.target)) != mend.old:
                raise BadInput(f"{mend.target.path} has changed meanwhile", hint="run it again")
            try:
                new = stack.enter_context(_staged(folder, name, mend.new))
                staged.append((folder, name, new, mend))
            except OSError as error:
                raise _refused(mend.target, error) from error
        with _undisturbed():
            return _put(staged)


def _put(staged: Sequence[tuple[int, str, str, Mend]]) -> tuple[str, ...]:
    kept: list[tuple[int, str]] = []
    done: list[tuple[int, str, str]] = []
    try:
        for folder, name, _, mend in staged:
            try:
                kept.append((folder, _keep(folder, name)))
            except OSError as error:
                raise _refused(mend.target, error) from error
        for (folder, name, new, mend), (_, copy) in zip(staged, kept, strict=True):
            try:
                os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError as error:
                raise _refused(mend.target, error) from error
            done.append((folder, name, copy))
            os.fsync(folder)
    except BadInput:
        # A file that was renamed already is taken back by its copy, so the copy must not be removed.
        for folder, name, copy in done:
            _take_back(folder, name, copy)
        for folder, copy in kept:
            with suppress(OSError):
                os.unlink(copy, dir_fd=folder)
        raise
    return tuple(copy for _, copy in kept)


def _take_back(folder: int, name: str, copy: str) -> None:
    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    os.rename(copy, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.chmod(name, stat.S_IMODE(mode), dir_fd=folder)


def _keep(folder: int, name: str) -> str:
    """Copy a file to a name that nothing has yet; the copy's name.

    No tool reads it: it ends neither in .conf nor .xml, and nobody may execute it.
    """
    for number in range(1, 1000):
        copy = f"{name}{COPY}{f'.{number}' if number > 1 else ''}"
        with suppress(FileExistsError):
            _copy(folder, name, copy, _content(folder, name, None), executable=False)
            return copy
    raise OSError(errno.EEXIST, f"there are too many copies of {name}")


@contextmanager
def _staged(folder: int, name: str, text: str) -> Iterator[str]:
    """A hidden file with the new text, mode and owner; it is gone at the end unless it was renamed."""
    new = f".{name}.dryboot-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        _copy(folder, name, new, text.encode("utf-8", "surrogateescape"), executable=True)
        yield new
    finally:
        with suppress(OSError):
            os.unlink(new, dir_fd=folder)


def _copy(folder: int, name: str, new: str, data: bytes, *, executable: bool) -> None:
    old = os.open(name, _READ, dir_fd=folder)
    try:
        state = os.fstat(old)
        number = os.open(new, _NEW, 0o600, dir_fd=folder)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data)
                file.flush()
                own = os.fstat(number)
                if (own.st_uid, own.st_gid) != (state.st_uid, state.st_gid):
                    os.fchown(number, state.st_uid, state.st_gid)
                mode = stat.S_IMODE(state.st_mode)
                # A FAT file system has no modes to set.
                with suppress(PermissionError):
                    os.fchmod(number, mode if executable else mode & ~0o111)
                _attributes(old, number)
                os.fsync(number)
        except BaseException:
            os.unlink(new, dir_fd=folder)
            raise
    finally:
        os.close(old)


def _attributes(old: int, new: int) -> None:
    with suppress(OSError):
        for attribute in os.listxattr(old):
            os.setxattr(new, attribute, os.getxattr(old, attribute))


def _content(folder: int, name: str, target: Target | None) -> bytes:
    number = os.open(name, _READ, dir_fd=folder)
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise BadInput(f"{target.path if target else name} is no plain file")
        data = file.read(_LIMIT + 1)
    if len(data) > _LIMIT:
        raise BadInput(f"{target.path if target else name} has more than {_LIMIT >> 20} MiB")
    return data


@contextmanager
def _folder(target: Target) -> Iterator[tuple[int, str]]:
    """The directory of a file, opened, and its name there, with every link followed.

    No link may lead out of the root. Each part is opened from the one before and not through a link, so that none that
    appears meanwhile does either.
    """
    root = os.path.realpath(target.root) if target.root else "/"
    path = os.path.realpath(os.path.join(root, target.path) if target.root else target.path)  # noqa: PTH118
    if not Path(path).is_relative_to(root):
        raise BadInput(
            f"{target.path} leads to {path}, outside of {target.root}",
            hint="it is not written: mend it there",
        )
    *parents, name = Path(path).relative_to(root).parts or ("",)
    opened = []
    try:
        opened.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for part in parents:
            opened.append(os.open(part, _ENTER, dir_fd=opened[-1]))
        yield opened[-1], name
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        for number in opened:
            os.close(number)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that would end the run wait until it has been written."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _refused(target: Target, error: OSError) -> BadInput:
    return BadInput(
        f"cannot write {target.path}: {error.strerror or error}",
        hint="nothing was changed; check who owns it",
    )
