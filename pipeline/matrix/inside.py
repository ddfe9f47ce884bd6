"""The process that starts cells, and that of one cell: `python -m pipeline.matrix.inside PARENT LANES DESCRIPTOR`.

It imports the lanes and forks for each order that comes over the descriptor, so that a crash is the cell's own. In a
cell, SIGTERM unwinds what the lane has started.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import cast

from pipeline.errors import ExitCode
from pipeline.lab import digest
from pipeline.lab.process import settle
from pipeline.matrix.fork_server import Order
from pipeline.matrix.job import JOB, RESULT, Lanes, run


def main(arguments: Sequence[str]) -> ExitCode:
    """Serve until the other end is closed: to each Order the number of a process, and then its status.

    The other end tells at first what it knows of files.
    """
    parent, name, descriptor = arguments
    # The kernel ends this process with its parent, by way of setpriv; the parent may be gone already.
    if os.getppid() != int(parent):
        return ExitCode.INTERRUPTED
    lanes = lanes_of(name)
    with Connection(int(descriptor)) as line, contextlib.suppress(EOFError):
        digest.learn(line.recv())
        gc.collect()
        gc.freeze()  # what was imported stays shared with the cells
        while True:
            order = line.recv()
            pid = _fork(order, lanes, line)
            line.send(pid)
            # Told before it is reaped: until the other end no longer wants it, the number is no other process's.
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            assert ended is not None
            line.send(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
            line.recv()
            os.waitpid(pid, 0)
    return ExitCode.HELD


def _fork(order: Order, lanes: Lanes, line: Connection) -> int:
    server = os.getpid()
    if pid := os.fork():
        return pid
    status = ExitCode.LAB_FAULT
    try:
        line.close()
        signal.signal(signal.SIGTERM, _interrupt)
        signal.signal(signal.SIGHUP, _interrupt)
        settle(server, order.log)
        os.environ.update(order.environment)
        status = cell(order, lanes)
    except KeyboardInterrupt:
        status = ExitCode.INTERRUPTED
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def cell(order: Order, lanes: Lanes) -> ExitCode:
    """Run the job of an order and put what came of it into the file of the result, whole or not at all."""
    found = run(JOB.validate_json(order.job.read_bytes()), lanes)
    new = order.result.with_name(f"{order.result.name}.new")
    new.write_bytes(RESULT.dump_json(found))
    new.rename(order.result)
    return ExitCode.HELD


def lanes_of(name: str) -> Lanes:
    """The lanes that `MODULE:NAME` names."""
    module, _, attribute = name.partition(":")
    return cast(Lanes, getattr(importlib.import_module(module), attribute))


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(int(main(sys.argv[1:])))
