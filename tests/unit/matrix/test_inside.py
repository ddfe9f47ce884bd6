"""The process that starts cells, started as the pool does, and by somebody else."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from pipeline.errors import LabFault
from pipeline.lab import digest
from pipeline.lab.run_directory import RunDirectory
from pipeline.matrix.fork_server import Order, fork_server
from pipeline.matrix.inside import lanes_of
from pipeline.matrix.job import JOB, RESULT, Job
from pipeline.matrix.result import Ended
from tests import matrix_lanes
from tests.unit.matrix.conftest import LANES, job, living

ROOT = Path(__file__).resolve().parents[3]


@contextlib.contextmanager
def started(parent: int, lanes: str = LANES) -> Iterator[tuple[Connection, subprocess.Popen[bytes]]]:
    ours, theirs = multiprocessing.Pipe()
    with ours:
        with theirs:
            argv = ["-m", "pipeline.matrix.inside", str(parent), lanes, str(theirs.fileno())]
            process = subprocess.Popen([sys.executable, *argv], cwd=ROOT, pass_fds=[theirs.fileno()])
        yield ours, process
    process.wait(30)


def order(folder: Path, one: Job) -> Order:
    (folder / "job").write_bytes(JOB.dump_json(one))
    return Order(
        job=folder / "job", result=folder / "result", log=folder / "log", environment={"DRYBOOT_CELL": "mine"}
    )


def test_the_result_is_in_its_file(tmp_path: Path, notes: Path) -> None:
    with started(os.getpid()) as (line, process):
        line.send(digest.known())
        for _ in range(2):
            line.send(order(tmp_path, job()))
            pid, status = line.recv(), line.recv()
            assert (psutil.Process(pid).status(), status) == (psutil.STATUS_ZOMBIE, 0)
            line.send(None)
            assert RESULT.validate_json((tmp_path / "result").read_bytes()).ended is Ended.HELD
            assert not (tmp_path / "result.new").exists()
    assert process.returncode == 0
    assert len(set(notes.read_text().split())) == 3, "each cell is a process of its own"


def test_without_its_parent_it_runs_nothing(tmp_path: Path, notes: Path) -> None:
    with started(1) as (line, process), contextlib.suppress(OSError):
        line.send(digest.known())
        line.send(order(tmp_path, job()))
        process.wait(30)
    assert process.returncode == 130
    assert not (tmp_path / "result").exists()
    assert notes.read_text() == ""


def test_a_cell_that_crashes_tells_its_signal_and_the_next_one_runs(tmp_path: Path, notes: Path) -> None:
    with fork_server(LANES, RunDirectory(tmp_path)) as server:
        with server.cell(order(tmp_path, job("9.2", "crashes"))) as crashed:
            assert crashed.wait(60) == -signal.SIGSEGV
        assert "last words" in (tmp_path / "log").read_text()
        with server.cell(order(tmp_path, job("9.1"))) as cell:
            assert cell.wait(60) == 0
        pids = {int(line.split()[1]) for line in notes.read_text().splitlines()}
        assert pids == {crashed.pid, cell.pid}
        for orphan in psutil.process_iter(["environ"]):
            if (orphan.info["environ"] or {}).get("DRYBOOT_CELL") == "mine":
                orphan.kill()
    assert living(notes) == []


def test_a_lost_server_is_a_lab_fault_and_started_again(tmp_path: Path, notes: Path) -> None:

    with fork_server(LANES, RunDirectory(tmp_path)) as server:
        with (
            pytest.raises(LabFault, match="has ended"),
            server.cell(order(tmp_path, job("9.2", "slow"))) as cell,
        ):
            while "9.2" not in notes.read_text():
                time.sleep(0.01)
            psutil.Process(cell.pid).parent().kill()
            cell.wait(60)
        until = time.monotonic() + 10
        while psutil.pid_exists(cell.pid) and psutil.Process(cell.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < until, "a cell ends with its server"
            time.sleep(0.01)
        with server.cell(order(tmp_path, job("9.1"))) as again:
            assert again.wait(60) == 0
    assert living(notes) == []


def test_lanes_that_cannot_be_imported_are_a_lab_fault(tmp_path: Path, notes: Path) -> None:

    with (
        fork_server("tests.matrix_lanes:NONE", RunDirectory(tmp_path)) as server,
        pytest.raises(LabFault, match=r"has ended[\s\S]*NONE"),
        server.cell(order(tmp_path, job())),
    ):
        raise AssertionError


def test_lanes_are_found_by_name() -> None:
    assert lanes_of(LANES) is matrix_lanes.LANES
    with pytest.raises(AttributeError):
        lanes_of("tests.matrix_lanes:NONE")
