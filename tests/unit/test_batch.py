"""Runs of verify in processes of their own; `invoke` is played."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.batch import Batch, Job

VERDICT = '{"checks": [], "seconds": {"total": 7}}'


def play(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """`$name` is the job's name; `$5` the output."""
    played = folder / "bin"
    played.mkdir()
    (played / "invoke").write_text(
        f'#!/bin/sh\nname=$(basename "$5")\necho "$@" >> {folder}/said\nmkdir -p "$5/report"\n{script}\n'
    )
    (played / "invoke").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(played / "python"))


def jobs(*names: str) -> list[Job]:
    return [Job(name=name, scenario="rx560", options=(f"--set=a={name}",)) for name in names]


def test_each_job_is_run_and_its_verdict_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    play(monkeypatch, tmp_path, f"echo told; printf '%s' '{VERDICT}' > \"$5/report/verdict.json\"; exit 1")
    first, second = Batch(tmp_path / "out", workers=2).run(jobs("one", "two"))
    assert (first.job.name, first.status, first.verdict["seconds"]["total"]) == ("one", 1, 7)
    assert (second.job.name, second.tries) == ("two", 1)
    said = (tmp_path / "said").read_text()
    assert f"verify --scenario rx560 --output {tmp_path}/out/one --no-lint --set=a=one\n" in said
    assert (tmp_path / "out/two.log").read_text() == "told\n"


def test_the_verdict_of_an_older_run_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "out/one/report/verdict.json"
    old.parent.mkdir(parents=True)
    old.write_text(VERDICT)
    play(monkeypatch, tmp_path, "exit 2")
    (ran,) = Batch(tmp_path / "out", workers=1).run(jobs("one"))
    assert (ran.status, dict(ran.verdict)) == (2, {})


@pytest.mark.parametrize(("second", "status"), [(1, 1), (3, 3)])
def test_a_lab_fault_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, second: int, status: int
) -> None:
    play(monkeypatch, tmp_path, f'[ -e "$5/tried" ] && exit {second}; touch "$5/tried"; exit 3')
    (ran,) = Batch(tmp_path / "out", workers=1, retries=1).run(jobs("one"))
    assert (ran.status, ran.tries) == (status, 2)


def test_a_failed_check_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    play(monkeypatch, tmp_path, "exit 1")
    (ran,) = Batch(tmp_path / "out", workers=1, retries=1).run(jobs("one"))
    assert ran.tries == 1


def test_a_run_that_does_not_end_is_ended_and_a_lab_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    play(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    started = time.monotonic()
    (ran,) = Batch(tmp_path / "out", workers=1, deadline=1).run(jobs("one"))
    assert (ran.status, dict(ran.verdict)) == (3, {})
    assert time.monotonic() - started < 30
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_what_still_runs_is_ended_with_the_caller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    play(
        monkeypatch,
        tmp_path,
        f'[ "$name" = one ] && {{ while [ ! -e {tmp_path}/pid ]; do sleep 0.05; done; exit 0; }}\n'
        f"echo $$ > {tmp_path}/pid.tmp; mv {tmp_path}/pid.tmp {tmp_path}/pid; exec sleep 60",
    )
    running = Batch(tmp_path / "out", workers=2).run(jobs("one", "two", "three"))
    assert next(running).job.name == "one"
    running.close()
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_no_more_runs_than_the_machine_takes() -> None:
    assert 1 <= Batch.workers() <= min(2, os.cpu_count() or 1)
