"""The process that serves the emulated functions of a board."""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab.device.function import FunctionSpec, to_json
from pipeline.lab.process import child, tail
from pipeline.lab.run_directory import RunDirectory

_CHECKOUT = Path(__file__).resolve().parent.parent.parent


@contextlib.contextmanager
def device_server(specs: Sequence[FunctionSpec], *, run: RunDirectory) -> Iterator[subprocess.Popen[bytes]]:
    """Serve `specs`, one socket `NAME.sock` each in the run directory; ready when the context is entered."""
    spec = run.path / "functions.json"
    spec.write_text(to_json(specs))
    with child(
        [sys.executable, "-m", "pipeline.lab.device.server", spec.name, "--exit-with-stdin"],
        run=run,
        name="devices",
        environment={"PYTHONPATH": str(_CHECKOUT), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        _wait_ready(process, run)
        yield process


def _wait_ready(process: subprocess.Popen[bytes], run: RunDirectory) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stdout], [], [], 0.5)
        if ready:
            if process.stdout.readline().strip() == b"ready":
                return
            break
    raise LabFault(f"the server of the emulated functions did not start\n{tail(run.path / 'devices.log', 6)}")
