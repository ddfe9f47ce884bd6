"""The report's directory: replaced whole when a run has ended, whatever the run found."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import BadInput

_OURS = ("verdict.json", "junit.xml", "logs")


def check(target: Path) -> None:
    """Raises BadInput if `target` holds something that is not an older report."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise BadInput(f"{target} is not a directory", hint="name another with --report")
    foreign = [path.name for path in target.iterdir() if path.name not in _OURS] if target.exists() else []
    if foreign:
        raise BadInput(
            f"{target} holds {foreign[0]!r}, which no report has", hint="name another with --report"
        )


@contextlib.contextmanager
def fresh(target: Path) -> Iterator[Path]:
    """A hidden directory beside `target` that takes its place when the context ends well."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f".{target.name}.new-*"):
            owner = left.name.split("-")[-2] if left.name.count("-") > 1 else ""
            if not (owner.isdigit() and Path(f"/proc/{owner}").exists()):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-{os.getpid()}-", dir=target.parent))
    except OSError as error:
        raise BadInput(
            f"cannot write {target}: {error.strerror}", hint="name another with --report"
        ) from error
    try:
        yield folder
        folder.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
