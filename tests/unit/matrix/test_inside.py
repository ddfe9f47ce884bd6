"""The process of a cell, started as the pool does, and by somebody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.matrix.inside import lanes_of
from pipeline.matrix.job import JOB, RESULT
from pipeline.matrix.result import Ended
from tests import matrix_lanes
from tests.unit.matrix.conftest import LANES, job

ROOT = Path(__file__).resolve().parents[3]


def start(folder: Path, parent: int) -> int:
    (folder / "job").write_bytes(JOB.dump_json(job()))
    argv = [str(parent), LANES, str(folder / "job"), str(folder / "result")]
    return subprocess.run(
        [sys.executable, "-m", "pipeline.matrix.inside", *argv], cwd=ROOT, check=False
    ).returncode


def test_the_result_is_in_its_file(tmp_path: Path, notes: Path) -> None:
    assert start(tmp_path, os.getpid()) == 0
    assert RESULT.validate_json((tmp_path / "result").read_bytes()).ended is Ended.HELD
    assert not (tmp_path / "result.new").exists()


def test_without_its_parent_it_runs_nothing(tmp_path: Path, notes: Path) -> None:
    assert start(tmp_path, 1) == 130
    assert not (tmp_path / "result").exists()
    assert notes.read_text() == ""


def test_lanes_are_found_by_name() -> None:
    assert lanes_of(LANES) is matrix_lanes.LANES
    with pytest.raises(AttributeError):
        lanes_of("tests.matrix_lanes:NONE")
