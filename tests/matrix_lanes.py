"""Lanes that are played: what a cell does is said by its job's setting, or by a table of machine types.

Given to the pool as `tests.matrix_lanes:…`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.fingerprint.model import Fingerprint
from pipeline.lab import cache
from pipeline.lab.process import child
from pipeline.lab.run_directory import run_directory
from pipeline.matrix.cell import Lane
from pipeline.matrix.job import Job, Lanes
from pipeline.matrix.result import CellCheck, CellResult, Ended

ORPHAN = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)"


def note(word: str) -> None:
    """Append a line to the file that DRYBOOT_TEST_NOTES names: what ran, and as which process."""
    with Path(os.environ["DRYBOOT_TEST_NOTES"]).open("a") as file:
        file.write(f"{word} {os.getpid()}\n")


def held(job: Job) -> CellResult:
    return CellResult(
        cell=job.cell,
        ended=Ended.HELD,
        checks=(CellCheck(name="firmware", held=True, observed="up"),),
        fingerprint=Fingerprint(facts={"machine/name": job.cell.machine}),
        times={"shell": 0.5},
    )


class Played:
    """A lane; the first setting of a job says what happens."""

    def needs(self, qemu: str) -> Mapping[str, str]:
        return {f"QEMU {qemu}": "abc"}

    def run(self, job: Job) -> CellResult:
        note(job.cell.name)
        return {
            "": held,
            "slow": self.slow,
            "fails": self.fails,
            "faults": self.faults,
            "faults once": self.faults_once,
            "faults differently": self.faults_differently,
            "crashes": self.crashes,
            "leaves": self.leaves,
            "hangs": self.hangs,
            "is stubborn": self.is_stubborn,
            "is mistaken": self.is_mistaken,
            "cannot be told": self.cannot_be_told,
        }[self.what(job)](job)

    def what(self, job: Job) -> str:
        return job.settings[0] if job.settings else ""

    def slow(self, job: Job) -> CellResult:
        time.sleep(1)
        return held(job)

    def fails(self, job: Job) -> CellResult:
        check = CellCheck(name="firmware", held=False, observed="nothing on the console")
        return CellResult(cell=job.cell, ended=Ended.FAILED, checks=(check,), console="Unsupported machine")

    def faults(self, job: Job) -> CellResult:
        raise LabFault("no QEMU today")

    def faults_once(self, job: Job) -> CellResult:
        words = Path(os.environ["DRYBOOT_TEST_NOTES"]).read_text().split()
        return self.faults(job) if words.count(job.cell.name) == 1 else held(job)

    def faults_differently(self, job: Job) -> CellResult:
        words = Path(os.environ["DRYBOOT_TEST_NOTES"]).read_text().split()
        raise LabFault(f"fault {words.count(job.cell.name)}")

    def crashes(self, job: Job) -> CellResult:
        self.leave()
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError

    def leaves(self, job: Job) -> CellResult:
        self.leave()
        return held(job)

    def leave(self) -> None:
        """Leave a process whose parent is gone, as a daemon's is."""
        subprocess.run([sys.executable, "-c", ORPHAN], check=True)

    def hangs(self, job: Job) -> CellResult:
        """As the lab does it: a machine that is a child of a run."""
        self.leave()
        with run_directory(cache.runs()) as run:
            (run.path / "serial.log").write_text("BdsDxe: loading\n")
            with child(["sleep", "600"], run=run, name="qemu"):
                note("started")
                time.sleep(600)
        raise AssertionError

    def is_stubborn(self, job: Job) -> CellResult:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return self.hangs(job)

    def cannot_be_told(self, job: Job) -> CellResult:
        """With a byte of the console that is no text."""
        return replace(held(job), console="\udcff")

    def is_mistaken(self, job: Job) -> CellResult:
        raise KeyError("spelling")


class ByType(Played):
    """DRYBOOT_TEST_PLAYS has what happens by the cell's name, or its machine type, as JSON."""

    def what(self, job: Job) -> str:
        table = json.loads(os.environ.get("DRYBOOT_TEST_PLAYS", "{}"))
        return str(table.get(job.cell.name, table.get(job.cell.machine, "")))


ONLY_FAST: Lanes = {Lane.FAST: Played()}
BY_TYPE: Lanes = {Lane.FAST: ByType(), Lane.NESTED: ByType()}
LANES: Lanes = {Lane.FAST: Played(), Lane.NESTED: Played()}
