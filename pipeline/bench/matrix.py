"""Measures the matrix: cells a minute, against as many bare QEMU runs of the same firmware to the shell."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline import scenario as scenarios
from pipeline.bench.pair import Pair, paired
from pipeline.errors import LabFault
from pipeline.lab import argv, cache, direct, releases
from pipeline.lab.direct_domain import DirectDomain
from pipeline.lab.process import child, tail
from pipeline.lab.releases import Release
from pipeline.lab.run_directory import RunDirectory, run_directory
from pipeline.matrix import pool
from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.command import LANES
from pipeline.matrix.inside import lanes_of
from pipeline.matrix.job import Job, dryboot
from pipeline.matrix.result import Ended
from pipeline.plan import resolve
from pipeline.render.domain import domain_xml
from pipeline.scenario.document import read_text

_QEMU = "11.1"
# Eight rounds of a machine with two cores: a matrix has many cells for each start of its processes.
_MACHINES = ("pc-q35-9.2", "pc-q35-10.0", "pc-q35-11.0", "pc-q35-11.1") * 4
_SHELL = b"UEFI Interactive Shell"
_SECONDS = 120.0
_SERIAL = "bare-serial.log"


def pair(scenario: str, runs: int) -> Pair:
    """Cells of the fast lane, as `matrix` runs them, against what their firmware takes to the shell's first words.

    The bare machines are those of the cells, but for the emulated functions: nothing is asked of them, and they
    are ended as soon as the shell is there. As many run at once, and libvirt was asked for their arguments before:
    so it was for the cells of every turn but the first.
    """
    (release,) = releases.find([_QEMU], lambda _: None)
    at_once = pool.workers([Lane.FAST])
    jobs = _jobs(scenario)
    xml = domain_xml(resolve(scenarios.read(scenario)))
    machines = [
        argv.domain(xml, release, machine=machine, sockets={}, accelerator="tcg") for machine in _MACHINES
    ]
    bare = [(one, argv.arguments(one, release, lambda _: None)) for one in machines]

    def ours() -> float:
        started = time.perf_counter()
        results = list(pool.run(jobs, lanes=LANES, at_once=at_once, retries=0))
        for one in results:
            if one.ended is not Ended.HELD:
                raise LabFault(
                    f"{one.cell.name} of the benchmark: {one.ended.value}: {one.fault or one.checks}"
                )
        return _a_minute(len(results), started)

    def floor() -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(at_once) as executor:
            list(executor.map(lambda one: _boot(release, one[0], one[1]), bare))
        return _a_minute(len(machines), started)

    taken, least = paired(runs, ours, floor)
    return Pair(
        name=f"cells of the matrix / bare QEMU to the shell ({at_once} at once)",
        ours=taken,
        floor=least,
        unit="1/min",
        ratio=least / taken,
        limit=1.3,
    )


def _a_minute(cells: int, started: float) -> float:
    return 60 * cells / (time.perf_counter() - started)


def _jobs(scenario: str) -> Sequence[Job]:
    file = scenarios.called(scenario)
    text = read_text(scenarios.find(scenario), shown=file, what="scenario")
    needs = lanes_of(LANES)[Lane.FAST].needs(_QEMU)
    return [
        Job(
            cell=Cell(qemu=_QEMU, machine=machine, lane=Lane.FAST),
            scenario=text,
            file=file,
            deadline=_SECONDS,
            dryboot=dryboot(),
            needs=needs,
        )
        for machine in _MACHINES
    ]


def _boot(release: Release, domain: DirectDomain, arguments: Sequence[str]) -> None:
    """Boot until the shell speaks. Raises LabFault where it does not."""
    with run_directory(cache.runs()) as run:
        direct.put_files(domain, release, run, lambda _: None)
        line = f"file,id={argv.SERIAL_CHARDEV},path={_SERIAL}"
        started = [*release.qemu.argv, "-chardev", line, *arguments]
        with child(started, run=run, name="bare", environment=release.qemu.merged_environment()) as qemu:
            _wait(qemu, run)


def _wait(qemu: subprocess.Popen[bytes], run: RunDirectory) -> None:
    serial, until = run.path / _SERIAL, time.monotonic() + _SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            if _SHELL in serial.read_bytes():
                return
        if qemu.poll() is not None:
            break
        time.sleep(0.05)
    raise LabFault(f"the floor did not come to the shell: {tail(run.path / 'bare.log', 6)}")
