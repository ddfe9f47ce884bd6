from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pipeline.lab import digest


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "qemu"
    for contents in (b"one", b"two"):
        path.write_bytes(contents)
        os.utime(path, ns=(0, 5 if contents == b"one" else 6))
        assert digest.sha256(path) == hashlib.sha256(contents).hexdigest()


def test_what_another_process_knew_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "qemu"
    path.write_bytes(b"one")
    digest.sha256(path)
    (seen,) = (one for one in digest.known() if one[0] == str(path))
    digest.learn({seen: "told"})
    assert digest.sha256(path) == "told"
    path.write_bytes(b"another")
    assert digest.sha256(path) == hashlib.sha256(b"another").hexdigest()


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest.sha256(tmp_path / "none")
