"""A child process of a run: it ends when the run ends, however the run ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab.run_directory import RunDirectory

_PR_SET_PDEATHSIG = 1  # prctl(2)


@contextlib.contextmanager
def child(
    argv: Sequence[str],
    *,
    run: RunDirectory,
    name: str,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `argv` in the run directory with its messages in NAME.log; on leaving, it is ended.

    The kernel kills it when this process dies (prctl(2), PR_SET_PDEATHSIG, by way of setpriv). It has a
    session of its own, so Ctrl-C reaches it only through us. Raises LabFault if it cannot be started.
    """
    # setpriv would start, and then end because of a missing program.
    program = str(run.path / argv[0]) if "/" in argv[0] else argv[0]
    if shutil.which(program, path=_search_path(environment)) is None:
        raise LabFault(f"cannot start {name}: there is no program {argv[0]}")
    log = run.path / f"{name}.log"
    with log.open("ab") as messages:
        try:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                cwd=run.path,
                env=dict(environment) if environment is not None else None,
                stdin=stdin,
                stdout=messages if stdout is None else stdout,
                stderr=messages,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        except OSError as error:
            raise LabFault(f"cannot start {name}: {error}") from error
    try:
        run.record(process.pid)
        yield process
    finally:
        _end(process)


def settle(parent: int, log: Path) -> None:
    """Make a fresh fork of the process `parent` one of its own: it ends with its parent, and speaks to `log`.

    Raises ProcessLookupError where the parent is gone already.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise ProcessLookupError(f"process {parent} has ended")
    with log.open("ab") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    # The parent's may go elsewhere.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))


def _search_path(environment: Mapping[str, str] | None) -> str:
    return (os.environ if environment is None else environment).get("PATH", os.defpath)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for a message."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
