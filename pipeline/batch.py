"""Runs of verify, each a process of its own, a few at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.errors import ExitCode

_CHECKOUT = Path(__file__).resolve().parent.parent
# What a run takes at its peak, with room to spare (measured: 1.6 GiB).
_MEMORY = 3 << 30
# A run that is told to end takes its machines down first.
_GRACE = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A run of verify: its name, which its output bears too, the scenario, and further options."""

    name: str
    scenario: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """How a run ended: its exit status, verdict.json (empty where there is none), and how many tries it took.

    A run that did not end in time is a lab fault.
    """

    job: Job
    status: int
    verdict: Mapping[str, Any]
    seconds: float
    tries: int = 1


class Batch:
    """Runs jobs with output in `folder`/NAME and what they say in `folder`/NAME.log.

    `deadline` is how many seconds a run may take. A lab fault is tried `retries` times more.
    """

    def __init__(
        self, folder: Path, *, workers: int = 0, deadline: float | None = None, retries: int = 0
    ) -> None:
        self._folder = folder
        self._workers = workers or self.workers()
        self._deadline = deadline
        self._retries = retries
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._ended = False

    @staticmethod
    def workers() -> int:
        """How many runs this machine takes at once."""
        return max(1, min(2, os.cpu_count() or 1, psutil.virtual_memory().available // _MEMORY))

    def run(self, jobs: Sequence[Job]) -> Generator[Ran, None, None]:
        """The jobs as they ended, in their order; those still running are ended when the caller is."""
        pool = ThreadPoolExecutor(self._workers)
        try:
            yield from pool.map(self._try, jobs)
        finally:
            self._end()
            pool.shutdown(wait=True, cancel_futures=True)

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()

    def _try(self, job: Job) -> Ran:
        for tries in range(1, self._retries + 2):
            ran = self._once(job, tries)
            if ran.status != ExitCode.LAB_FAULT or self._ended:
                break
        return ran

    def _once(self, job: Job, tries: int) -> Ran:
        output = self._folder / job.name
        argv = [str(Path(sys.executable).with_name("invoke")), "verify", "--scenario", job.scenario]
        argv += ["--output", str(output), "--no-lint", *job.options]
        output.parent.mkdir(parents=True, exist_ok=True)
        verdict = output / "report/verdict.json"
        verdict.unlink(missing_ok=True)
        started = time.monotonic()
        with output.with_suffix(".log").open("wb") as log:
            status = self._wait(argv, log)
        try:
            found = json.loads(verdict.read_text())
        except (OSError, ValueError):
            found = {}
        seconds = round(time.monotonic() - started, 1)
        return Ran(job=job, status=status, verdict=found, seconds=seconds, tries=tries)

    def _wait(self, argv: Sequence[str], log: Any) -> int:
        with self._lock:
            if self._ended:
                return ExitCode.INTERRUPTED
            process = subprocess.Popen(
                argv, cwd=_CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
            self._running.add(process)
        try:
            return process.wait(self._deadline)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            return ExitCode.LAB_FAULT
        finally:
            with self._lock:
                self._running.discard(process)
