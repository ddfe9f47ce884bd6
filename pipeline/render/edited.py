"""A bundle as its owner has edited it: the files of a directory in place of the rendered ones."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pipeline.errors import BadInput
from pipeline.render.bundle import MANIFEST, Bundle
from pipeline.render.host_files import STEPS
from pipeline.render.mode import mode
from pipeline.render.write import written

_EDITABLE = ("etc/", "boot/", "usr/", "libvirt/")
_LARGEST = 1 << 20
_MOST = 200
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def edited(bundle: Bundle, folder: Path) -> tuple[Bundle, tuple[str, ...]]:
    """`bundle` with what `folder` has under etc/, boot/, usr/ and libvirt/, and the paths that differ.

    A program that is not executable there is not in the bundle either. A file that is not in the folder stays as
    rendered; where the folder is the output of a build, it was removed. Raises BadInput where the folder cannot be
    read or has what cannot be in a bundle.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a directory", hint="--files takes the output directory of a build")
    files = dict(bundle.files)
    modes: dict[str, int] = {}
    found = _files(folder)
    there = {path.relative_to(folder).as_posix() for path in found}
    for name in _removed(folder, bundle, there):
        del files[name]
    for path in found:
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
        name
        for name in sorted({*files, *bundle.files})
        if files.get(name) != bundle.files.get(name) or name in modes
    ]
    return Bundle(files=files, modes=modes), tuple(changed)


def _removed(folder: Path, bundle: Bundle, there: set[str]) -> list[str]:
    """The files of the bundle that a build wrote into the folder and that are not there any more."""
    built = written(folder) or set()
    gone = [name for name in bundle.files if name in built - there and name.startswith(_EDITABLE)]
    for name in gone:
        if name.startswith("libvirt/"):
            raise BadInput(f"{folder} has no {name}", hint="there is no guest without its domain")
    return gone


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for below in _EDITABLE:
        for parent, folders, names in os.walk(folder / below.rstrip("/")):
            folders.sort()
            paths = [Path(parent) / name for name in sorted(names)]
            found += [path for path in paths if path.is_file() and path.name not in {MANIFEST, STEPS}]
            if len(found) > _MOST:
                raise BadInput(f"{folder} has more than {_MOST} files under etc, boot, usr and libvirt")
    return found
