"""The lanes of the matrix, as a cell's process runs them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipeline import scenario as scenarios
from pipeline.fingerprint import reading
from pipeline.lab import direct, releases
from pipeline.lab.releases import Release
from pipeline.matrix.cell import Lane
from pipeline.matrix.job import Job, Lanes
from pipeline.matrix.result import CellCheck, CellResult, Ended
from pipeline.plan import resolve
from pipeline.render.domain import domain_xml

# The lane gives up before the pool ends its process: its own word on what it waited for says more.
_SOONER = 0.9
# Not what this machine could do: a fingerprint is to be the same on every machine that takes part.
_ACCELERATOR = "tcg"


class Fast:
    """The domain boots at L0."""

    def needs(self, qemu: str) -> Mapping[str, str]:
        """See Runner."""
        return {f"QEMU {qemu} with its firmware": _release(qemu).digest}

    def run(self, job: Job) -> CellResult:
        """See Runner."""
        cell = job.cell
        plan = resolve(scenarios.loads(job.scenario, file=job.file, settings=job.settings))
        release = _release(cell.qemu)
        ran = direct.boot(
            plan,
            domain_xml(plan),
            release,
            cell.machine,
            deadline=job.deadline * _SOONER,
            accelerator=job.accelerator or _ACCELERATOR,
            progress=_say,
        )
        return CellResult(
            cell=cell,
            ended=Ended.HELD if ran.held else Ended.FAILED,
            checks=tuple(
                CellCheck(name=one.name, held=one.held, observed=one.observed) for one in ran.checks
            ),
            fingerprint=reading.read(ran.sighting) if ran.sighting else None,
            compat=release.compat(cell.machine),
            times={name: round(seconds, 2) for name, seconds in ran.times.items()},
            stand_ins=ran.stand_ins,
            console=ran.console,
        )


class Nested:
    """The owner's host boots, and the release runs in it.

    What only this lane needs is imported by it: a cell of the other takes seconds in all.
    """

    def needs(self, qemu: str) -> Mapping[str, str]:
        """See Runner."""
        from pipeline.lab.image import debian

        return {f"QEMU {qemu} with its firmware": _release(qemu).digest, "image of the host": debian.name()}

    def run(self, job: Job) -> CellResult:
        """See Runner."""
        from pipeline.matrix import nested
        from pipeline.render import Inputs, render

        release = _release(job.cell.qemu)
        machine = release.versioned(job.cell.machine)
        settings = (*job.settings, f"guest.machine={machine}")
        plan = resolve(scenarios.loads(job.scenario, file=job.file, settings=settings))
        bundle = render(plan, inputs=Inputs(scenario=job.scenario.encode(), settings=settings))
        with tempfile.TemporaryDirectory(prefix="dryboot-cell-") as logs:
            return nested.run(
                job.cell,
                plan,
                bundle,
                release,
                accelerator=job.accelerator or None,
                logs=Path(logs),
                say=_say,
            )


def _release(name: str) -> Release:
    (found,) = releases.find([name], _say)
    return found


def _say(text: str) -> None:
    """What is being done goes to the log of the cell."""
    sys.stderr.write(f"{text}\n")


LANES: Lanes = {Lane.FAST: Fast(), Lane.NESTED: Nested()}
