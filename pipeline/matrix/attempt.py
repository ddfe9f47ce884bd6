"""One try of a cell in a process of its own: however it ends, a result comes of it and no process is left."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import psutil
from tenacity import Retrying, retry_if_result, stop_after_attempt

from pipeline.errors import DrybootError, ExitCode
from pipeline.lab import cache
from pipeline.lab.process import tail
from pipeline.lab.run_directory import RunDirectory, sweep
from pipeline.lab.start_time import start_time
from pipeline.matrix.fork_server import Forked, ForkServer, Order
from pipeline.matrix.job import JOB, RESULT, Job, fault
from pipeline.matrix.result import CellResult, Ended

# Every process that a cell starts has it in its environment, whoever its parent is by then: PID:START:RANDOM, the
# first two of the process that tries.
_MARK = "DRYBOOT_CELL"
_LOGS = 4
_STEP = 0.05
_ROUNDS = 5


class Interrupted(Exception):
    """The run was ended before the cell was."""


class End(Protocol):
    """Tells that the run is to end: threading.Event does."""

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end; whether it has come."""
        ...


def tried(job: Job, *, server: ForkServer, run: RunDirectory, end: End, retries: int) -> CellResult:
    """What came of the cell; a lab fault, and nothing else, is tried `retries` times more.

    Raises Interrupted where `end` came first.
    """
    retrying = Retrying(
        stop=stop_after_attempt(retries + 1),
        retry=retry_if_result(lambda result: result.ended is Ended.LAB_FAULT),
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )
    faults: list[str] = []

    def once() -> CellResult:
        result = _try(job, server, run, end)
        faults.append(result.fault)
        return result

    result: CellResult = retrying(once)
    if result.ended is Ended.LAB_FAULT:
        result = replace(result, fault="\n".join((faults[-1], *_others(faults))))
    return replace(result, attempts=len(faults))


def _others(faults: Sequence[str]) -> Iterator[str]:
    """What the tries before the last have said, where it was something else."""
    for number, text in enumerate(faults[:-1], 1):
        if text != faults[-1]:
            yield f"try {number}: {text}"


def _try(job: Job, server: ForkServer, run: RunDirectory, end: End) -> CellResult:
    if end.wait(0):
        raise Interrupted
    random = secrets.token_hex(8)
    mark = f"{os.getpid()}:{start_time(os.getpid())}:{random}"
    name = f"{job.cell.name}.{random}"
    source, target, log = (run.path / f"{name}.{end}" for end in ("job", "result", "log"))
    started = time.monotonic()
    try:
        source.write_bytes(JOB.dump_json(job))
        order = Order(job=source, result=target, log=log, environment={_MARK: mark})
        with server.cell(order) as process:
            status = _wait(process, started + job.deadline, end)
            console = "" if status == ExitCode.HELD else _console(process.pid, log)
        result = _result(job, status, console, target)
    except (DrybootError, OSError, ValueError) as error:
        result = fault(job, str(error))
    finally:
        _clear(mark)
        sweep(cache.runs())
    seconds = round(time.monotonic() - started, 2)
    return replace(result, times={**result.times, "cell": seconds})


def _wait(process: Forked, until: float, end: End) -> int | None:
    """The exit status, None when the time is up."""
    while (status := process.wait(_STEP)) is None:
        if time.monotonic() > until:
            return None
        if end.wait(0):
            raise Interrupted
    return status


def _result(job: Job, status: int | None, console: str, target: Path) -> CellResult:
    if status is None:
        return fault(job, f"it has not ended within its deadline of {job.deadline:g} s", console=console)
    if status != ExitCode.HELD:
        how = f"with status {status}"
        if status < 0:
            how = f"by {signal.Signals(-status).name}"
        return fault(job, f"the cell's process was ended {how}", console=console)
    return RESULT.validate_json(target.read_bytes())


def _console(pid: int, log: Path) -> str:
    """The ends of what was said last: by the machines in the run directories of the process, and by itself."""
    logs = [path for folder in cache.runs().glob(f"{pid}-*") for path in folder.glob("*.log")]
    logs = [path for path in logs if path.stat().st_size]
    newest = sorted(logs, key=lambda path: path.stat().st_mtime)[-_LOGS:]
    return "\n".join(f"--- {path.name}\n{text}" for path in (log, *newest) if (text := tail(path)))


def clear_orphans() -> None:
    """End what is left of cells whose run was killed and what not even the kernel ended with it, such as daemons."""
    _end_all(lambda mark: not _alive(mark))


def _clear(mark: str) -> None:
    _end_all(lambda found: found == mark)


def _end_all(wanted: Callable[[str], bool]) -> None:
    """End what has such a mark; more than once, as one may have started another meanwhile."""
    for _ in range(_ROUNDS):
        left = [one for one in psutil.process_iter() if (mark := _mark(one)) and wanted(mark)]
        if not left:
            break
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)


def _mark(process: psutil.Process) -> str:
    try:
        found = process.environ().get(_MARK, "")
        return found if process.status() != psutil.STATUS_ZOMBIE else ""
    except psutil.Error:
        return ""


def _alive(mark: str) -> bool:
    """Whether the process that tries the cell of a mark goes on; what is no mark of ours is not ours to end."""
    try:
        pid, started, _ = mark.split(":")
        return start_time(int(pid)) == int(started)
    except ProcessLookupError:
        return False
    except (OSError, ValueError):
        return True
