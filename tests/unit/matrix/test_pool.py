"""Cells in processes of their own: however one ends, the others and the machine do not notice."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pipeline.lab import cache
from pipeline.matrix import pool
from pipeline.matrix.cell import Lane
from pipeline.matrix.job import Job
from pipeline.matrix.journal import Journal
from pipeline.matrix.result import CellResult, Ended
from tests.matrix_lanes import ORPHAN
from tests.unit.matrix.conftest import LANES, job, living

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.usefixtures("nothing_left")


def run(*jobs: Job, at_once: int = 2, retries: int = 0) -> dict[str, CellResult]:
    results = list(pool.run(jobs, lanes=LANES, at_once=at_once, retries=retries))
    assert sorted(result.cell for result in results) == sorted(one.cell for one in jobs)
    return {result.cell.machine.removeprefix("pc-q35-"): result for result in results}


def ran(notes: Path) -> Counter[str]:
    return Counter(line.split()[0] for line in notes.read_text().splitlines())


def test_the_result_is_the_lane_s(notes: Path) -> None:
    found = run(job("9.2"), job("9.1", "fails"))
    assert (found["9.2"].ended, found["9.1"].ended) == (Ended.HELD, Ended.FAILED)
    assert found["9.2"].fingerprint is not None
    assert found["9.2"].fingerprint.facts == {"machine/name": "pc-q35-9.2"}
    assert found["9.2"].times["shell"] == 0.5
    assert found["9.2"].times["cell"] > 0
    assert found["9.1"].console == "Unsupported machine"
    assert len({line.split()[1] for line in notes.read_text().splitlines()} - {str(os.getpid())}) == 2


def test_a_failed_check_is_not_tried_again(notes: Path) -> None:
    found = run(job("9.2", "fails"), retries=3)
    assert (found["9.2"].attempts, ran(notes).total()) == (1, 1)


def test_a_lab_fault_is_tried_again(notes: Path) -> None:
    found = run(job("9.2", "faults once"), job("9.1", "faults"), job("9.0", "is mistaken"), retries=1)
    assert (found["9.2"].ended, found["9.2"].attempts) == (Ended.HELD, 2)
    assert (found["9.1"].ended, found["9.1"].attempts) == (Ended.LAB_FAULT, 2)
    assert found["9.1"].fault == "no QEMU today"
    assert "a mistake in Dryboot itself: KeyError" in found["9.0"].fault
    assert set(ran(notes).values()) == {2}


def test_what_each_try_has_said_is_kept(notes: Path) -> None:
    found = run(job("9.2", "faults differently"), retries=2)["9.2"]
    assert found.fault == "fault 3\ntry 1: fault 1\ntry 2: fault 2"


def test_a_crash_harms_nobody_else(notes: Path) -> None:
    found = run(job("9.2", "crashes"), job("9.1", "slow"))
    assert found["9.2"].ended is Ended.LAB_FAULT
    assert "ended by SIGSEGV" in found["9.2"].fault
    assert "last words" in found["9.2"].console
    assert found["9.1"].ended is Ended.HELD


def test_a_result_that_cannot_be_told_is_a_lab_fault(notes: Path) -> None:
    found = run(job("9.2", "cannot be told"))["9.2"]
    assert found.ended is Ended.LAB_FAULT
    assert "surrogates" in found.console


def test_a_disk_that_is_full_is_a_lab_fault(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    found = run(job("9.2"))["9.2"]
    assert (found.ended, "No space left" in found.fault) == (Ended.LAB_FAULT, True)


def test_what_a_cell_leaves_is_ended(notes: Path) -> None:
    assert run(job("9.2", "leaves"))["9.2"].ended is Ended.HELD
    assert living(notes) == []


@pytest.mark.parametrize("what", ["hangs", "is stubborn"])
def test_a_cell_that_hangs_ends_at_its_deadline(notes: Path, what: str) -> None:
    started = time.monotonic()
    found = run(job("9.2", what, deadline=4), job("9.1"))["9.2"]
    assert 4 <= time.monotonic() - started < 40
    assert found.ended is Ended.LAB_FAULT
    assert "within its deadline of 4 s" in found.fault
    assert "serial.log\nBdsDxe: loading" in found.console
    assert living(notes) == []
    assert list(cache.runs().iterdir()) == []


def test_what_still_runs_is_ended_with_the_caller(notes: Path) -> None:
    results = pool.run([job("9.2"), job("9.1", "hangs")], lanes=LANES, at_once=2)
    with closing(results):
        assert next(results).cell.machine == "pc-q35-9.2"
        wait_for(notes, "started")
    assert living(notes) == []


def test_the_fast_lane_ends_before_the_nested_one_begins(notes: Path) -> None:
    jobs = [job("9.2", lane=Lane.NESTED), job("9.1", "slow"), job("9.0", "slow")]
    results = list(pool.run(jobs, lanes=LANES, at_once=3))
    assert results[-1].cell.lane is Lane.NESTED
    assert notes.read_text().splitlines()[-1].startswith("nested-")


def test_the_machine_says_how_many_at_once(monkeypatch: pytest.MonkeyPatch, notes: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))

    def workers(memory: int, *lanes: Lane) -> int:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=memory << 20))
        return pool.workers(lanes)

    assert workers(64000, Lane.FAST) == 8
    assert workers(64000, Lane.NESTED) == workers(64000, Lane.FAST, Lane.NESTED) == 4
    assert workers(1000, Lane.FAST) == 2
    assert workers(100, Lane.NESTED) == 1


def wait_for(notes: Path, word: str, times: int = 1) -> None:
    until = time.monotonic() + 60
    while notes.read_text().split().count(word) < times:
        assert time.monotonic() < until
        time.sleep(0.02)


def driver(folder: Path, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.unit.matrix.pool_driver", str(folder), *words]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_after_kill_9_only_the_rest_runs(notes: Path, tmp_path: Path) -> None:
    versions = ["9.2", "9.1", "9.0", "8.2", "8.1", "8.0"]
    first = driver(tmp_path / "cells", "slow", *versions)
    assert first.stdout is not None
    done = [first.stdout.readline().split()[0] for _ in range(2)]
    first.kill()
    first.communicate()
    # A file that was being written when the power went.
    (tmp_path / "cells/.fast-10.0-pc-q35-8.0.x").write_text("{")
    (tmp_path / "cells/fast-10.0-pc-q35-8.0.json").write_text('{"version": 1, "key"')
    assert kin_of_the_killed(notes) == []
    before = ran(notes)
    second = driver(tmp_path / "cells", "slow", *versions)
    said, _ = second.communicate(timeout=120)
    after = ran(notes)
    told = [line.split()[0] for line in said.splitlines()]
    # What was journalled and not yet told is finished as well.
    assert set(done).isdisjoint(told)
    assert len(told) == len(set(told)) >= len(versions) - len(before)
    for machine in done:
        assert after[f"fast-10.0-{machine}"] == 1
    journal = Journal(tmp_path / "cells")
    for version in versions:
        one = job(version, "slow")
        assert journal.finished(one.key, one.cell.name) is not None
    third = driver(tmp_path / "cells", "slow", *versions)
    assert third.communicate(timeout=60)[0] == ""
    assert ran(notes) == after


def kin_of_the_killed(notes: Path) -> list[str]:
    """What lives of the cells of a killed run, but for orphans: the kernel may take a moment."""
    until = time.monotonic() + 10
    while (left := [one for one in living(notes) if ORPHAN not in one]) and time.monotonic() < until:
        time.sleep(0.05)
    return left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_at_once(notes: Path, tmp_path: Path, number: int) -> None:
    process = driver(tmp_path / "cells", "hangs", "9.2", "9.1", "9.0")
    wait_for(notes, "started", 2)
    started = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert time.monotonic() - started < 15
    assert living(notes) == []
    assert ran(notes)["started"] == 2


def test_what_kill_9_leaves_the_next_run_ends(notes: Path, tmp_path: Path) -> None:
    process = driver(tmp_path / "cells", "hangs", "9.2")
    wait_for(notes, "started")
    process.kill()
    process.communicate()
    assert kin_of_the_killed(notes) == []
    # What has made itself independent, as a daemon does, is nobody's child.
    assert len([one for one in living(notes) if ORPHAN in one]) == 1
    run(job("9.1"))
    assert living(notes) == []
    assert list(cache.runs().iterdir()) == []
