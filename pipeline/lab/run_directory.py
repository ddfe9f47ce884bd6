"""One directory a run: everything that a run starts or leaves lying belongs to it.

A run holds a lock on its directory. What a killed run left is found by the lock being free: the next run ends
the processes recorded there, by their id and start time, and removes the directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.lab.start_time import start_time

_PROCESSES = "processes"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """A directory that is removed with everything in it when its run ends."""

    path: Path

    def record(self, pid: int) -> None:
        """Remember a process, so that it can be ended if this one is killed."""
        with contextlib.suppress(ProcessLookupError):
            line = f"{pid} {start_time(pid)}\n"
            with (self.path / _PROCESSES).open("a") as stream:
                stream.write(line)


@contextlib.contextmanager
def run_directory(base: Path) -> Iterator[RunDirectory]:
    """A fresh directory under `base`; before it is made, what killed runs left there is swept."""
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    sweep(base)
    path = base / f"{os.getpid()}-{secrets.token_hex(3)}"
    path.mkdir(mode=0o700)
    # Locked before it has its name: a sweep sees no lock, or a held one.
    starting = path / f"{_LOCK}.new"
    lock = os.open(starting, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    starting.rename(path / _LOCK)
    try:
        yield RunDirectory(path)
    finally:
        _end_recorded(path)
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def active(base: Path) -> bool:
    """Whether a run under `base` goes on: it holds its lock."""
    for lock in base.glob(f"*/{_LOCK}"):
        try:
            held = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(held)
    return False


def sweep(base: Path) -> tuple[str, ...]:
    """Clear what killed runs left under `base`; names of the directories that were removed."""
    gone = []
    for path in sorted(base.iterdir()) if base.is_dir() else ():
        try:
            status = path.lstat()
        except FileNotFoundError:  # another run sweeps too
            continue
        if not stat.S_ISDIR(status.st_mode):
            continue
        # A directory whose lock file is not there yet belongs to a run that is just starting.
        young = time.time() - status.st_mtime < 60
        try:
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except PermissionError:  # another user's
            continue
        except OSError:
            if young:
                continue
            shutil.rmtree(path, ignore_errors=True)
            gone.append(path.name)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            _end_recorded(path)
            shutil.rmtree(path, ignore_errors=True)
            gone.append(path.name)
        finally:
            os.close(lock)
    return tuple(gone)


def _end_recorded(path: Path) -> None:
    try:
        lines = (path / _PROCESSES).read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, psutil.Error, ProcessLookupError):
            pid, started = line.split()
            process = psutil.Process(int(pid))
            if start_time(process.pid) == int(started):
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=10)
