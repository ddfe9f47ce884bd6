"""Where the processes of cells come from: one that has imported the lanes and forks for each cell.

A cell is still alone in its process, and does without the half second that importing takes. The standard library's
fork server is none for a worker of dask, whose processes may have no children (multiprocessing, `daemon`).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab import digest
from pipeline.lab.process import child, tail
from pipeline.lab.run_directory import RunDirectory

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
# How long importing and forking may take, and a process that was asked to end.
_START, _GRACE = 60.0, 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A cell to run: the file of its job, where its result and its words go, what else is in its environment."""

    job: Path
    result: Path
    log: Path
    environment: dict[str, str]


@dataclass(kw_only=True, slots=True)
class Forked:
    """The process of a cell. `pid` is its own until its end was asked for: so long the server keeps it as a zombie."""

    pid: int
    _line: Connection
    _status: int | None = field(default=None, init=False)

    def wait(self, timeout: float) -> int | None:
        """The exit status, -N for signal N; None where it runs `timeout` seconds on.

        Raises LabFault where the server is gone.
        """
        if self._status is None:
            self._status = _said(self._line, timeout)
        return self._status

    def end(self) -> None:
        """End it if it runs: as it likes at first."""
        for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _START)):
            if self.wait(0) is None:
                os.kill(self.pid, number)
                self.wait(patience)
        with contextlib.suppress(OSError):
            self._line.send(self.pid)


@dataclass(kw_only=True, slots=True)
class ForkServer:
    """Forks one cell after the other; started when the first is asked for, and again where it was lost."""

    _lanes: str
    _run: RunDirectory
    _stack: contextlib.ExitStack
    _line: Connection | None = field(default=None, init=False)
    _name: str = field(default="", init=False)

    @contextlib.contextmanager
    def cell(self, order: Order) -> Iterator[Forked]:
        """Run a cell; its process has ended when the context is left. Raises LabFault where there comes none."""
        try:
            forked = self._fork(order)
            self._run.record(forked.pid)
            try:
                yield forked
            finally:
                forked.end()
        except LabFault as error:
            self._stack.close()
            self._line = None
            said = tail(self._run.path / f"{self._name}.log", 6)
            raise LabFault(f"{error.message}\n{said}".rstrip(), hint=error.hint) from error

    def _fork(self, order: Order) -> Forked:
        if self._line is None:
            self._line = self._start()
        with contextlib.suppress(OSError):  # then there is no answer either
            self._line.send(order)
        pid = _said(self._line, _START)
        if pid is None:
            raise LabFault(f"no process for a cell came within {_START:g} s")
        return Forked(pid=pid, _line=self._line)

    def _start(self) -> Connection:
        self._name = f"cells-{time.monotonic_ns()}"
        ours, theirs = multiprocessing.Pipe()
        self._stack.callback(ours.close)
        with theirs:
            argv = ["-m", "pipeline.matrix.inside", str(os.getpid()), self._lanes, str(theirs.fileno())]
            self._stack.enter_context(
                child(
                    [sys.executable, *argv],
                    run=self._run,
                    name=self._name,
                    environment={**os.environ, "PYTHONPATH": str(_CHECKOUT)},
                    pass_fds=[theirs.fileno()],
                )
            )
        with contextlib.suppress(OSError):  # as for an order
            ours.send(digest.known())
        return ours


@contextlib.contextmanager
def fork_server(lanes: str, run: RunDirectory) -> Iterator[ForkServer]:
    """A server for the lanes MODULE:NAME; it and its cell have ended when the context is left."""
    with contextlib.ExitStack() as stack:
        yield ForkServer(_lanes=lanes, _run=run, _stack=stack)


def _said(line: Connection, timeout: float) -> int | None:
    """The next number from the server, None where none has come; raises LabFault where there comes no more."""
    try:
        return int(line.recv()) if line.poll(timeout) else None
    except (EOFError, OSError) as error:
        raise LabFault("the process that starts cells has ended") from error
