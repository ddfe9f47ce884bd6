"""Where a report goes: standard output, or a file that is there as a whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import BadInput


@contextmanager
def output(path: Path | None) -> Iterator[Callable[[str], object]]:
    """What writes text to `path`, or to standard output; the file appears when the context ends well.

    Raises BadInput where it cannot be written.
    """
    if path is None:
        yield _print
        return
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except (OSError, ValueError) as error:
        raise _refused(path, error) from error
    new = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            yield file.write
            file.flush()
            # mkstemp keeps it from others; a report is made as any other file.
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(number, 0o666 & ~mask)
        try:
            new.replace(path)
        except OSError as error:
            raise _refused(path, error) from error
    finally:
        with suppress(FileNotFoundError):
            new.unlink()


def _print(text: str) -> None:
    sys.stdout.write(text)


def _refused(path: Path, error: Exception) -> BadInput:
    reason = getattr(error, "strerror", None) or error
    return BadInput(f"cannot write {path}: {reason}", hint="name another file with --output")
