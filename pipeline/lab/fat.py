"""FAT file systems, made without mounting them.

Source: mtools(1); mformat takes the size from -T, in sectors of 512 bytes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pipeline.errors import LabFault

_SECTOR = 512
_SERIAL = "64726962"


def make(target: Path, files: Mapping[str, Path], *, size: int) -> None:
    """A FAT file system of `size` bytes with `files`: paths in it and where their contents are.

    Raises LabFault with what mtools says, also where they do not fit.
    """
    with target.open("wb") as stream:
        stream.truncate(size)
    image = ["-i", str(target)]
    _run(["mformat", *image, "-T", str(size // _SECTOR), "-N", _SERIAL, "::"])
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
    if folders:
        _run(["mmd", *image, *(f"::{folder}" for folder in sorted(folders))])
    for path, source in sorted(files.items()):
        _run(["mcopy", *image, str(source), f"::{path}"])


def _run(argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LabFault(f"cannot start {argv[0]}: {error.strerror}", hint="install mtools") from error
    if done.returncode:
        raise LabFault(f"{argv[0]}: {done.stderr.strip()}")
