"""Results written as they come, so that the same command goes on where a killed one was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from pipeline.errors import BadInput, LabFault
from pipeline.matrix.result import CellResult, Ended

VERSION = 1
_LOCK = ".lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    version: int
    key: str
    result: CellResult


_ENTRY = TypeAdapter(_Entry)


class Journal:
    """The directory `folder` with a file for each cell that has ended, a lab fault too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else writes into it meanwhile; raises BadInput where somebody does, or it cannot be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._folder / _LOCK)
            lock.acquire(timeout=0)
        except Timeout:
            hint = "wait for it, or name another directory with --output"
            raise BadInput(f"another run writes its results into {self._folder}", hint=hint) from None
        except OSError as error:
            raise BadInput(f"cannot write {self._folder}: {error.strerror}", hint="--output DIR") from error
        try:
            yield
        finally:
            lock.release()

    def write(self, key: str, result: CellResult) -> None:
        """Keep a result, in place of an older one of the cell; the file is there as a whole or not at all.

        Raises LabFault where it cannot be written.
        """
        data = _ENTRY.dump_json(_Entry(version=VERSION, key=key, result=result), indent=1)
        put(self._path(result.cell.name), data + b"\n")

    def read(self, key: str, cell_name: str) -> CellResult | None:
        """What is remembered of the cell under `key`, None for anything else, half a file too."""
        try:
            found = _ENTRY.validate_json(self._path(cell_name).read_bytes())
        except (OSError, ValueError):
            return None
        same = (found.version, found.key, found.result.cell.name) == (VERSION, key, cell_name)
        return found.result if same else None

    def finished(self, key: str, cell_name: str) -> CellResult | None:
        """Like `read`, but a lab fault is none: the cell runs again."""
        found = self.read(key, cell_name)
        return found if found and found.ended is not Ended.LAB_FAULT else None

    def _path(self, cell_name: str) -> Path:
        return self._folder / f"{cell_name}.json"


def put(path: Path, data: bytes) -> None:
    """Write a file that is there as a whole or not at all; raises LabFault where that cannot be."""
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            # A machine that loses power right after the rename must not come back with an empty file.
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise LabFault(f"cannot write {path}: {error.strerror or error}") from error
