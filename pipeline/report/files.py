"""The report's directory: replaced whole when a run has ended, whatever the run found."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from pipeline.errors import BadInput

_OURS = ("verdict.json", "junit.xml", "logs")


def check(target: Path, *, ours: Collection[str] = _OURS) -> None:
    """Raises BadInput if `target` holds something that is not an older report, which has only `ours`."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise BadInput(f"{target} is not a directory", hint="name another with --report")
    foreign = [path.name for path in target.iterdir() if path.name not in ours] if target.exists() else []
    if foreign:
        raise BadInput(
            f"{target} holds {foreign[0]!r}, which no report has", hint="name another with --report"
        )


@contextlib.contextmanager
def fresh(target: Path, *, beside: Path | None = None) -> Iterator[Path]:
    """A hidden directory that takes the place of `target` when the context ends well.

    It lies beside `beside` (the bundle's directory, where the report is in one: nothing foreign may be left in
    there), else beside `target`. What killed runs left there is removed. Raises BadInput where it cannot be made.
    """
    anchor = beside or target
    prefix = f".{anchor.name}.report-"
    try:
        for folder in (anchor.parent, target.parent):
            folder.mkdir(parents=True, exist_ok=True)
        _sweep(anchor.parent, prefix)
        new = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=anchor.parent))
    except OSError as error:
        raise BadInput(
            f"cannot write {target}: {error.strerror}", hint="name another with --report"
        ) from error
    try:
        report = new / "report"
        report.mkdir()
        yield report
        if target.exists():
            target.rename(new / "old")
        report.rename(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _sweep(folder: Path, prefix: str) -> None:
    for left in folder.glob(f"{glob.escape(prefix)}*"):
        owner = left.name.removeprefix(prefix).partition("-")[0]
        if not (owner.isdigit() and Path(f"/proc/{owner}").exists()):
            shutil.rmtree(left, ignore_errors=True)
