"""The same cells by a scheduler and two workers on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest

from pipeline.errors import BadInput, LabFault
from pipeline.matrix import cluster, worker
from pipeline.matrix.attempt import clear_orphans
from pipeline.matrix.journal import Journal
from pipeline.matrix.result import Ended
from tests.unit.matrix.conftest import LANES, job, living

ROOT = Path(__file__).resolve().parents[3]
VERSIONS = ["9.2", "9.1", "9.0", "8.2", "8.1", "8.0"]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path, notes: Path) -> Iterator[Start]:
    """Starts a process of the cluster; all of them end with the test."""
    with ExitStack() as stack:

        def started(argv: list[str]) -> subprocess.Popen[bytes]:
            log = stack.enter_context((tmp_path / "cluster.log").open("ab"))
            process = subprocess.Popen(argv, env=worker.environment(), stdout=log, stderr=log)
            stack.callback(end, process)
            return process

        yield started
    # What a worker that is killed cannot end, the next one on that machine does.
    clear_orphans()
    assert living(notes) == []


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the process and all below it."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    process.kill()
    process.wait()
    for one in below:
        with ExitStack() as ignored:
            ignored.push(lambda kind, *_: kind is not None and issubclass(kind, psutil.NoSuchProcess))
            one.kill()
    psutil.wait_procs(below, timeout=20)


@pytest.fixture
def scheduler(tmp_path: Path, start: Start) -> str:
    file = tmp_path / "scheduler.json"
    argv = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host=127.0.0.1", "--port=0"]
    start([*argv, "--no-dashboard", f"--scheduler-file={file}"])
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            return str(json.loads(file.read_text())["address"])
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError((tmp_path / "cluster.log").read_text())


def ran(notes: Path) -> Counter[str]:
    return Counter(line.split()[0] for line in notes.read_text().splitlines())


def wait_for(notes: Path, word: str, times: int = 1) -> None:
    until = time.monotonic() + 60
    while ran(notes)[word] < times:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_no_cell_is_lost_and_none_counted_twice_when_a_worker_is_killed(
    scheduler: str, start: Start, notes: Path, tmp_path: Path
) -> None:
    workers = [start(worker.argv(scheduler, at_once=1)) for _ in range(2)]
    jobs = [job(version, "slow") for version in VERSIONS]
    keys = {one.cell: one.key for one in jobs}
    journal = Journal(tmp_path / "cells")
    seen = []
    with journal.held(), closing(cluster.run(jobs, scheduler=scheduler, lanes=LANES)) as results:
        for result in results:
            seen.append(result.cell)
            assert result.ended is Ended.HELD
            journal.write(keys[result.cell], result)
            if len(seen) == 2:
                end(workers[0])
    assert sorted(seen) == sorted(keys)
    assert len(seen) == len(VERSIONS)
    counts = ran(notes)
    # Begun twice is what ran on the killed worker, one cell at a time, and what it had not told the scheduler yet.
    assert set(counts) == {one.cell.name for one in jobs}
    assert len(VERSIONS) <= counts.total() <= len(VERSIONS) + 2
    assert all(journal.finished(one.key, one.cell.name) for one in jobs)


def test_deadlines_and_faults_hold_on_workers_too(scheduler: str, start: Start, notes: Path) -> None:
    start(worker.argv(scheduler, at_once=2))
    jobs = [job("9.2", "hangs", deadline=4), job("9.1", dryboot="another"), job("9.0", "faults once")]
    found = {one.cell.machine: one for one in cluster.run(jobs, scheduler=scheduler, lanes=LANES, retries=1)}
    hung, other, once = (found[f"pc-q35-{version}"] for version in ("9.2", "9.1", "9.0"))
    assert (hung.ended, hung.attempts) == (Ended.LAB_FAULT, 2)
    assert "within its deadline" in hung.fault
    assert "BdsDxe" in hung.console
    assert (other.ended, "Dryboot is" in other.fault) == (Ended.LAB_FAULT, True)
    assert (once.ended, once.attempts) == (Ended.HELD, 2)


def test_a_cell_that_takes_its_workers_with_it_is_a_lab_fault(
    scheduler: str, start: Start, notes: Path
) -> None:
    process = start(worker.argv(scheduler, at_once=1))
    jobs = [job("9.1"), job("9.2", "hangs")]
    with closing(cluster.run(jobs, scheduler=scheduler, lanes=LANES)) as results:
        assert next(results).ended is Ended.HELD
        for times in range(1, 5):
            wait_for(notes, "started", times)
            pid = int([line for line in notes.read_text().splitlines() if "started" in line][-1].split()[1])
            # The cell's own process, and the one that forked it, are the worker's.
            _, ran_by, *_ = psutil.Process(pid).parents()
            assert ran_by.ppid() == process.pid
            ran_by.kill()
        (result,) = results
    assert result.ended is Ended.LAB_FAULT
    assert "KilledWorker" in result.fault


def test_what_runs_on_workers_ends_with_the_caller(scheduler: str, start: Start, notes: Path) -> None:
    start(worker.argv(scheduler, at_once=2))
    jobs = [job("9.2"), job("9.1", "hangs"), job("9.0", "hangs")]
    with closing(cluster.run(jobs, scheduler=scheduler, lanes=LANES)) as results:
        assert next(results).cell.machine == "pc-q35-9.2"
        wait_for(notes, "started", 2)
    until = time.monotonic() + 30
    while [one for one in living(notes) if "matrix.inside" in one or "sleep" in one]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_runs_on_workers_ends_when_the_caller_is_killed(
    scheduler: str, start: Start, notes: Path
) -> None:
    start(worker.argv(scheduler, at_once=1))
    script = (
        "from pipeline.matrix import cluster\nfrom tests.unit.matrix.conftest import LANES, job\n"
        f"list(cluster.run([job('9.2', 'hangs')], scheduler={scheduler!r}, lanes=LANES))"
    )
    caller = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    wait_for(notes, "started")
    caller.kill()
    caller.wait()
    until = time.monotonic() + 60
    while [one for one in living(notes) if "matrix.inside" in one or "sleep" in one]:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:8786", "http://host:1", "tcp://host", "tcp://a b:1", "tcp://host:1 --preload=x"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="is no address of a scheduler"):
        cluster.checked(address)
    with pytest.raises(BadInput, match="is no address of a scheduler"):
        worker.argv(address)


def test_addresses() -> None:
    for address in ("tcp://127.0.0.1:8786", "tls://lab.example:8786", "tcp://[::1]:8786"):
        assert cluster.checked(address) == address


def test_no_scheduler_is_a_lab_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_ANSWER", 1)
    with pytest.raises(LabFault, match="no scheduler answers at tcp:"):
        list(cluster.run([job()], scheduler="tcp://127.0.0.1:1", lanes=LANES))


def test_no_worker_is_a_lab_fault(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_WORKERS", 1)
    with pytest.raises(LabFault, match="has no worker"):
        list(cluster.run([job()], scheduler=scheduler, lanes=LANES))


def test_how_many_at_once_is_in_reason() -> None:
    with pytest.raises(BadInput, match="cannot run 5000 cells at once"):
        worker.argv("tcp://host:1", at_once=5000)
    assert "--nthreads=3" in worker.argv("tcp://host:1", at_once=3)
