"""The process that serves the emulated functions of a board."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab.device import server
from pipeline.lab.device.function import FunctionSpec, to_json
from pipeline.lab.process import child, settle, tail
from pipeline.lab.run_directory import RunDirectory

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
_NAME = "devices"
_PATIENCE, _GRACE = 20.0, 5.0


@contextlib.contextmanager
def device_server(specs: Sequence[FunctionSpec], *, run: RunDirectory) -> Iterator[subprocess.Popen[bytes]]:
    """Serve `specs`, one socket `NAME.sock` each in the run directory; ready when the context is entered."""
    spec = run.path / "functions.json"
    spec.write_text(to_json(specs))
    with child(
        [sys.executable, "-m", "pipeline.lab.device.server", spec.name, "--exit-with-stdin"],
        run=run,
        name=_NAME,
        environment={"PYTHONPATH": str(_CHECKOUT), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], _PATIENCE)
        if not ready or process.stdout.readline().strip() != b"ready":
            raise _did_not_start(run)
        yield process


@contextlib.contextmanager
def forked_server(specs: Sequence[FunctionSpec], *, run: RunDirectory) -> Iterator[None]:
    """The same as a fork of this process, which must have no other thread: it is there at once."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_serve, args=(tuple(specs), run.path, os.getpid(), theirs))
    with ours:
        with theirs:
            process.start()
        try:
            assert process.pid is not None
            run.record(process.pid)
            if not ours.poll(_PATIENCE) or not _heard(ours):
                raise _did_not_start(run)
            yield
        finally:
            process.terminate()
            process.join(_GRACE)
            process.kill()
            process.join()


def _serve(specs: tuple[FunctionSpec, ...], folder: Path, parent: int, ready: Connection) -> None:
    settle(parent, folder / f"{_NAME}.log")
    os.setsid()
    os.chdir(folder)
    # Cells run on every processor, so the time that one waits awake is another's.
    server.run(server.Server(specs, awake=0), lambda: ready.send_bytes(b"ready"))


def _heard(line: Connection) -> bool:
    try:
        return bool(line.recv_bytes())
    except EOFError:
        return False


def _did_not_start(run: RunDirectory) -> LabFault:
    said = tail(run.path / f"{_NAME}.log", 6)
    return LabFault(f"the server of the emulated functions did not start\n{said}")
