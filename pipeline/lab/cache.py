"""The cache: things that are prepared once, keyed by everything they were made of."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock

Progress = Callable[[str], None]


def root() -> Path:
    """Where caches and run directories are: DRYBOOT_CACHE, else the user's cache directory."""
    chosen = os.environ.get("DRYBOOT_CACHE")
    return Path(chosen).absolute() if chosen else platformdirs.user_cache_path("dryboot")


def runs() -> Path:
    """Where run directories are."""
    return root() / "run"


def key(*inputs: Any) -> str:
    """A short name for everything that `inputs` (JSON values and bytes) say."""
    digest = hashlib.sha256()
    for value in inputs:
        data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def prepared(kind: str, name: str, make: Callable[[Path], None]) -> Path:
    """The directory `kind`/`name` of the cache, made by `make` if it is not there.

    `make` fills an empty directory; it appears under its name only when `make` returned. Two runs that want
    the same wait for each other. What a killed maker left is removed by the next.
    """
    folder = root() / kind
    path = folder / name
    if path.is_dir():
        return path
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(folder / f".{name}.lock"):
        if path.is_dir():
            return path
        for left in folder.glob(f".{name}.new-*"):
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{name}.new-", dir=folder))
        try:
            make(fresh)
            fresh.rename(path)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    return path
