"""Many cells on this machine, as many at once as it takes."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue

import psutil

from pipeline.lab import cache
from pipeline.lab.run_directory import run_directory
from pipeline.matrix.attempt import clear_orphans, tried
from pipeline.matrix.cell import Lane
from pipeline.matrix.fork_server import ForkServer, fork_server
from pipeline.matrix.job import Job
from pipeline.matrix.result import CellResult

RETRIES = 1
# What a cell takes at its peak: cores, and bytes of memory.
_CORES = {Lane.FAST: 1, Lane.NESTED: 2}
_MEMORY = {Lane.FAST: 400 << 20, Lane.NESTED: 1640 << 20}


def workers(lanes: Iterable[Lane]) -> int:
    """How many cells of these lanes this machine takes at once."""
    wanted = set(lanes)
    cores = len(os.sched_getaffinity(0)) // max(_CORES[lane] for lane in wanted)
    memory = psutil.virtual_memory().available // max(_MEMORY[lane] for lane in wanted)
    return max(1, min(cores, memory))


def run(
    jobs: Sequence[Job], *, lanes: str, at_once: int = 0, retries: int = RETRIES
) -> Generator[CellResult, None, None]:
    """The results as the cells end; those still running are ended when the caller is.

    `lanes` is MODULE:NAME of the lanes. The cells of the fast lane come first, `at_once` at a time (0: what the
    machine takes).
    """
    clear_orphans()
    for lane in Lane:
        mine = [job for job in jobs if job.cell.lane is lane]
        if mine:
            yield from _run(mine, lanes, at_once or workers([lane]), retries)


def _run(jobs: Sequence[Job], lanes: str, at_once: int, retries: int) -> Generator[CellResult, None, None]:
    end = threading.Event()
    with run_directory(cache.runs()) as directory, contextlib.ExitStack() as stack:
        free: SimpleQueue[ForkServer] = SimpleQueue()
        for _ in range(at_once):
            free.put(stack.enter_context(fork_server(lanes, directory)))

        def one(job: Job) -> CellResult:
            server = free.get()
            try:
                return tried(job, server=server, run=directory, end=end, retries=retries)
            finally:
                free.put(server)

        # Children end with the thread that started them (PR_SET_PDEATHSIG); these threads live until all is done.
        executor = ThreadPoolExecutor(at_once)
        try:
            running = [executor.submit(one, job) for job in jobs]
            for done in as_completed(running):
                yield done.result()
        finally:
            end.set()
            executor.shutdown(wait=True, cancel_futures=True)
