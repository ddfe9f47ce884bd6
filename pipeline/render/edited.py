"""A bundle as its owner has edited it: the files of a directory in place of the rendered ones."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pipeline.errors import BadInput
from pipeline.render.bundle import MANIFEST, Bundle
from pipeline.render.host_files import STEPS
from pipeline.render.mode import mode

_LARGEST = 1 << 20
_MOST = 200
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def edited(bundle: Bundle, folder: Path) -> tuple[Bundle, tuple[str, ...]]:
    """`bundle` with what `folder` has under etc/, boot/, usr/ and libvirt/, and the paths that differ.

    A program that is not executable there is not in the bundle either. A file that is not in the folder stays as
    rendered. Raises BadInput where the folder cannot be read or has what
    cannot be in a bundle.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a directory", hint="--files takes the output directory of a build")
    files = dict(bundle.files)
    modes: dict[str, int] = {}
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            status = path.stat()
            if status.st_size > _LARGEST:
                raise BadInput(f"{path} is larger than 1 MiB", hint="configuration files are small")
            files[name] = path.read_bytes()
            if mode(name) & stat.S_IXUSR and not status.st_mode & stat.S_IXUSR:
                modes[name] = mode(name) & ~_EXECUTABLE
        except OSError as error:
            raise BadInput(f"cannot read {path}: {error.strerror}") from error
    changed = [
        name for name, data in sorted(files.items()) if bundle.files.get(name) != data or name in modes
    ]
    return Bundle(files=files, modes=modes), tuple(changed)


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for below in ("etc", "boot", "usr", "libvirt"):
        for parent, folders, names in os.walk(folder / below):
            folders.sort()
            paths = [Path(parent) / name for name in sorted(names)]
            found += [path for path in paths if path.is_file() and path.name not in {MANIFEST, STEPS}]
            if len(found) > _MOST:
                raise BadInput(f"{folder} has more than {_MOST} files under etc, boot, usr and libvirt")
    return found
