"""A run directory goes with its run, and a killed run's goes with the next."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.lab import run_directory as module
from pipeline.lab.run_directory import RunDirectory, run_directory, sweep
from pipeline.lab.start_time import start_time

ROOT = Path(__file__).resolve().parents[3]
# It starts one process with `child`, which the kernel ends, and one that only the record knows.
HOLDER = """
import subprocess, sys, time
from pathlib import Path
from pipeline.lab.process import child
from pipeline.lab.run_directory import run_directory
with run_directory(Path(sys.argv[1])) as run, child(["sleep", "600"], run=run, name="sleeper") as process:
    alone = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL)
    run.record(alone.pid)
    print(run.path.name, process.pid, alone.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def holder(base: Path) -> tuple[subprocess.Popen[str], str, list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(base)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    name, *pids = process.stdout.readline().split()
    return process, name, [int(pid) for pid in pids]


def ended(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def left(base: Path, name: str = "1234-abcdef", *, age: float = 0) -> Path:
    """What a killed run leaves: a directory with a lock that nobody holds."""
    path = base / name
    path.mkdir(parents=True)
    (path / "lock").touch()
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_it_is_private_and_gone_after_a_good_end(tmp_path: Path) -> None:
    base = tmp_path / "cache" / "run"
    with run_directory(base) as run:
        assert run.path.parent == base
        assert run.path.stat().st_mode & 0o777 == 0o700
        (run.path / "deep").mkdir()
        (run.path / "deep" / "file").touch()
    assert list(base.iterdir()) == []


def test_it_is_gone_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), run_directory(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_is_recorded_ends_with_it(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    with run_directory(tmp_path) as run:
        run.record(sleeper.pid)
    assert ended(sleeper.pid)


def test_a_process_that_has_ended_needs_no_record(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    RunDirectory(tmp_path).record(process.pid)
    assert list(tmp_path.iterdir()) == []


def test_the_next_run_sweeps_a_killed_one_and_ends_its_processes(tmp_path: Path) -> None:
    process, name, pids = holder(tmp_path)
    process.kill()
    process.communicate()
    assert (tmp_path / name).is_dir()
    with run_directory(tmp_path) as run:
        assert list(tmp_path.iterdir()) == [run.path]
        assert [ended(pid) for pid in pids] == [True, True]


def test_a_living_run_is_not_swept(tmp_path: Path) -> None:
    process, name, pids = holder(tmp_path)
    try:
        with run_directory(tmp_path) as run:
            assert {path.name for path in tmp_path.iterdir()} == {name, run.path.name}
            assert all(psutil.pid_exists(pid) for pid in pids)
    finally:
        process.terminate()
        process.communicate()
        sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_live_side_by_side(tmp_path: Path) -> None:
    with run_directory(tmp_path) as one, run_directory(tmp_path) as two:
        assert one.path != two.path
        assert one.path.is_dir()


def test_a_sweep_while_a_run_starts_leaves_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = fcntl.flock

    def sweep_just_before(fd: int, operation: int) -> None:
        monkeypatch.setattr(module.fcntl, "flock", lock)
        assert sweep(tmp_path) == ()
        lock(fd, operation)

    monkeypatch.setattr(module.fcntl, "flock", sweep_just_before)
    with run_directory(tmp_path) as run:
        assert run.path.is_dir()


@pytest.mark.parametrize("difference", [-1, 1, 360000])
def test_a_process_with_the_same_id_and_another_start_is_never_touched(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], difference: int
) -> None:
    path = left(tmp_path)
    started = start_time(sleeper.pid) + difference
    (path / "processes").write_text(f"{sleeper.pid} {started}\n")
    assert sweep(tmp_path) == (path.name,)
    assert sleeper.poll() is None


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\n\n",
        b"one\n",
        b"1 2 3\n",
        b"-1 0\n",
        b"0 0\n",
        b"99999999999999999999999 0\n",
        b"1 nan\n",
        b"\xff\xfe\0\n",
    ],
)
def test_junk_in_the_record_hides_no_process(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], junk: bytes
) -> None:
    path = left(tmp_path)
    line = f"{sleeper.pid} {start_time(sleeper.pid)}\n".encode()
    (path / "processes").write_bytes(junk + line)
    assert sweep(tmp_path) == (path.name,)
    assert ended(sleeper.pid)


def test_a_record_that_is_a_directory_is_swept_too(tmp_path: Path) -> None:
    path = left(tmp_path)
    (path / "processes").mkdir()
    assert sweep(tmp_path) == (path.name,)


def test_files_and_links_beside_the_runs_are_left_alone(tmp_path: Path) -> None:
    elsewhere = left(tmp_path / "elsewhere")
    base = tmp_path / "run"
    base.mkdir()
    (base / "file").touch()
    (base / "link").symlink_to(elsewhere)
    (base / "dangling").symlink_to("nowhere")
    assert sweep(base) == ()
    assert len(list(base.iterdir())) == 3
    assert elsewhere.is_dir()


def test_links_in_a_swept_directory_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    base = tmp_path / "run"
    (left(base) / "link").symlink_to(outside)
    sweep(base)
    assert (outside / "precious").exists()


@pytest.mark.parametrize("kind", ["none", "directory", "dangling link"])
def test_a_directory_without_a_lock_is_swept_when_it_is_old(tmp_path: Path, kind: str) -> None:
    path = left(tmp_path)
    (path / "lock").unlink()
    if kind == "directory":
        (path / "lock").mkdir()
    if kind == "dangling link":
        (path / "lock").symlink_to("nowhere")
    assert sweep(tmp_path) == ()
    os.utime(path, (time.time() - 3600,) * 2)
    assert sweep(tmp_path) == (path.name,)


def test_a_directory_that_another_run_sweeps_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(tmp_path, "1-aaaaaa")
    monkeypatch.setattr(module, "sorted", lambda found: [*found, tmp_path / "2-gone"], raising=False)
    assert sweep(tmp_path) == ("1-aaaaaa",)


def test_a_base_that_is_not_there_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none") == ()
