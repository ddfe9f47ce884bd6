"""The same cells on several machines, by a scheduler of dask.distributed; only `work` runs on the workers.

Not imported before it is asked for: it takes about a second, and one machine does without.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Sequence

from distributed import Client, Future, as_completed, get_worker

from pipeline.errors import BadInput, LabFault
from pipeline.lab import cache
from pipeline.lab.run_directory import run_directory
from pipeline.matrix.attempt import clear_orphans, tried
from pipeline.matrix.fork_server import fork_server
from pipeline.matrix.job import JOB, RESULT, Job, fault
from pipeline.matrix.pool import RETRIES
from pipeline.matrix.result import CellResult

_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_ANSWER = 30
_WORKERS = 120


def checked(address: str) -> str:
    """The address of a scheduler; raises BadInput for what is none."""
    if not _ADDRESS.fullmatch(address):
        raise BadInput(f"{address!r} is no address of a scheduler", hint="--scheduler tcp://HOST:8786")
    return address


def run(
    jobs: Sequence[Job], *, scheduler: str, lanes: str, retries: int = RETRIES
) -> Generator[CellResult, None, None]:
    """The results as the cells end, each cell once; what still runs is ended when the caller is.

    A worker that is lost gives its cells back to the others. Raises BadInput for an address that is none, LabFault
    where no scheduler answers or no worker comes.
    """
    try:
        client = Client(checked(scheduler), timeout=_ANSWER, set_as_default=False, name="dryboot")
    except (OSError, ValueError) as error:
        hint = "dask scheduler starts one: docs/matrix.md"
        raise LabFault(f"no scheduler answers at {scheduler}: {error}", hint=hint) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_WORKERS)
        except TimeoutError as error:
            hint = f"invoke worker --scheduler {scheduler}, on each machine"
            raise LabFault(f"the scheduler {scheduler} has no worker", hint=hint) from error
        # The key is all that the job is made of: two that ask for the same at once share it.
        sent = {
            client.submit(work, JOB.dump_json(job), lanes, retries, key=f"dryboot-{job.key}", pure=True): job
            for job in jobs
        }
        try:
            for done in as_completed(sent, loop=client.loop):
                yield _result(done, sent[done])
        finally:
            client.cancel(list(sent), force=True)


def work(data: bytes, lanes: str, retries: int) -> bytes:
    """Run a job on a worker; it ends early when the scheduler no longer wants it."""
    job = JOB.validate_json(data)
    clear_orphans()
    end = _Unwanted(f"dryboot-{job.key}")
    with run_directory(cache.runs()) as directory, fork_server(lanes, directory) as server:
        return RESULT.dump_json(tried(job, server=server, run=directory, end=end, retries=retries))


class _Unwanted:
    """Whether the task that this thread runs was taken back: its client has gone or was interrupted.

    The worker knows such a task as cancelled, and can do no more about a thread (distributed, Worker State Machine).
    """

    def __init__(self, key: str) -> None:
        self._tasks = get_worker().state.tasks
        self._key = key

    def wait(self, timeout: float) -> bool:
        """See pipeline.matrix.attempt.End."""
        time.sleep(timeout)
        task = self._tasks.get(self._key)
        return task is None or task.state not in {"executing", "long-running"}


def _result(done: Future[bytes], job: Job) -> CellResult:
    """What came of a job; a cell that took several workers with it, and a lost scheduler, are lab faults."""
    try:
        return RESULT.validate_json(done.result())
    except Exception as error:
        return fault(job, f"the cluster has lost the cell: {type(error).__name__}: {error}".rstrip(": "))
