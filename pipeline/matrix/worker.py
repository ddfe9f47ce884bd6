"""A worker of a cluster: this machine, for the cells of a matrix that was started elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from pipeline.errors import BadInput, LabFault
from pipeline.lab import cache
from pipeline.matrix import pool
from pipeline.matrix.cell import Lane
from pipeline.matrix.cluster import checked

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
# A worker without a scheduler ends after so many seconds.
_PATIENCE = 120


def argv(scheduler: str, *, at_once: int = 0) -> list[str]:
    """The command line of a worker that runs `at_once` cells (0: as many of the nested lane as the machine takes).

    Each cell is a process of its own, so the worker's own memory says nothing. Raises BadInput.
    """
    if not 0 <= at_once <= 1024:
        raise BadInput(f"cannot run {at_once} cells at once", hint="--jobs 2")
    return [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        checked(scheduler),
        "--nworkers=1",
        f"--nthreads={at_once or pool.workers([Lane.NESTED])}",
        "--memory-limit=0",
        "--no-dashboard",
        f"--death-timeout={_PATIENCE}",
        f"--local-directory={cache.root() / 'dask'}",
    ]


def environment() -> dict[str, str]:
    """With this checkout's modules, which the scheduler's tasks name."""
    return {**os.environ, "PYTHONPATH": str(_CHECKOUT)}


def run(scheduler: str, *, at_once: int = 0) -> NoReturn:
    """Become the worker; it ends with SIGINT or SIGTERM. Raises BadInput, LabFault where it cannot be started."""
    words = argv(scheduler, at_once=at_once)
    cache.root().mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.execve(words[0], words, environment())
    except OSError as error:
        raise LabFault(f"cannot start a worker: {error}") from error
