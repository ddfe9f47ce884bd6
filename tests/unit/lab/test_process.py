"""A child ends when its run ends, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.errors import LabFault
from pipeline.lab.process import child, tail
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.start_time import start_time

ROOT = Path(__file__).resolve().parents[3]
PARENT = """
import sys, time
from pathlib import Path
from pipeline.lab.process import child
from pipeline.lab.run_directory import RunDirectory
with child(["sleep", "600"], run=RunDirectory(Path(sys.argv[1])), name="sleeper") as process:
    print(process.pid, flush=True)
    time.sleep(600)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


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


def test_it_ends_with_the_context(run: RunDirectory) -> None:
    with child(["sleep", "600"], run=run, name="sleeper") as process:
        assert process.poll() is None
    assert process.returncode == -signal.SIGTERM


def test_it_ends_with_an_exception(run: RunDirectory) -> None:
    with pytest.raises(KeyboardInterrupt), child(["sleep", "600"], run=run, name="sleeper") as process:
        raise KeyboardInterrupt
    assert process.returncode == -signal.SIGTERM


def test_one_that_ignores_sigterm_is_killed(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = subprocess.Popen.wait

    def impatient(self: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        return wait(self, timeout and 0.1)

    with child([sys.executable, "-c", STUBBORN], run=run, name="stubborn", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        monkeypatch.setattr(subprocess.Popen, "wait", impatient)
    assert process.returncode == -signal.SIGKILL


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert ended(pid)


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program", "./no-such-program"])
def test_a_program_that_is_not_there_is_a_lab_fault(run: RunDirectory, program: str) -> None:
    with (
        pytest.raises(LabFault, match=f"cannot start helper: .*{program}"),
        child([program], run=run, name="helper"),
    ):
        pass


def test_a_program_is_looked_for_where_it_would_be_started(run: RunDirectory) -> None:
    (run.path / "bin").mkdir()
    for path in (run.path / "bin" / "tool", run.path / "here"):
        path.write_text("#!/bin/sh\nexit 7\n")
        path.chmod(0o755)
    search = f"{run.path / 'bin'}:{os.environ['PATH']}"
    with child(["tool"], run=run, name="tool", environment={"PATH": search}) as process:
        assert process.wait(60) == 7
    with child(["./here"], run=run, name="here") as process:
        assert process.wait(60) == 7


def test_no_setpriv_is_a_lab_fault(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.path / "tool").write_text("#!/bin/sh\n")
    (run.path / "tool").chmod(0o755)
    monkeypatch.setenv("PATH", str(run.path))
    with pytest.raises(LabFault, match="setpriv"), child(["tool"], run=run, name="tool"):
        pass


def test_its_messages_are_in_its_log_and_it_runs_in_the_run_directory(run: RunDirectory) -> None:
    with child(["sh", "-c", "pwd; echo trouble >&2"], run=run, name="shell") as process:
        process.wait(60)
    assert (run.path / "shell.log").read_text().split() == [str(run.path.resolve()), "trouble"]


def test_it_is_recorded_and_has_a_session_of_its_own(run: RunDirectory) -> None:
    with child(["sleep", "600"], run=run, name="sleeper") as process:
        recorded = (run.path / "processes").read_text().split()
        assert recorded == [str(process.pid), str(start_time(process.pid))]
        assert os.getsid(process.pid) == process.pid


def test_its_streams_are_closed_after_it(run: RunDirectory) -> None:
    with child(["cat"], run=run, name="cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        pass
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdin.closed
    assert process.stdout.closed


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\xff one\ntwo\nthree\n")
    assert tail(log, 2) == "two\nthree"
    assert tail(log).endswith("one\ntwo\nthree")
    assert tail(tmp_path / "none") == ""
