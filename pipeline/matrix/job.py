"""A job: everything that a worker needs to run a cell, wherever it is, as plain data."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter

from pipeline.errors import DrybootError, LabFault
from pipeline.lab import cache as caches
from pipeline.lab.digest import sha256
from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.result import CellResult, Ended

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
# What decides how a cell ends: the code, its data and its templates.
_PARTS = {"pipeline": (".py", ".toml"), "templates": ("",)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A cell with the text of its scenario, which messages call `file`, and the `--set` settings put over it.

    `deadline` is how many seconds one try may take. `needs` has the digests of what the cell runs on (its QEMU, its
    image) by name, `dryboot` that of the program. `accelerator` is kvm or tcg, empty where the lab chooses.
    """

    cell: Cell
    scenario: str
    file: str
    deadline: float
    dryboot: str
    settings: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    accelerator: str = ""

    @property
    def key(self) -> str:
        """What its result is remembered under: changes with everything that may change the result."""
        return caches.key(
            self.cell.name,
            self.scenario,
            self.file,
            list(self.settings),
            dict(self.needs),
            self.dryboot,
            self.accelerator,
        )


class Runner(Protocol):
    """A lane: how it runs a cell, and what it takes for that. Both raise LabFault."""

    def needs(self, qemu: str) -> Mapping[str, str]:
        """Digests of what cells of a QEMU release run on, by name; prepares what is not there."""
        ...

    def run(self, job: Job) -> CellResult:
        """Run the cell to its end."""
        ...


Lanes = Mapping[Lane, Runner]

JOB = TypeAdapter(Job)
RESULT = TypeAdapter(CellResult)


def dryboot(checkout: Path = _CHECKOUT) -> str:
    """A digest of the program with its facts and templates, without what it compiles of them as it runs."""
    files = []
    for part, suffixes in _PARTS.items():
        for folder, below, names in os.walk(checkout / part):
            below[:] = (name for name in below if name != "__pycache__")
            files += [Path(folder, name) for name in names if name.endswith(suffixes)]
    made_of = sorted((path.relative_to(checkout).as_posix(), path) for path in files if path.is_file())
    return caches.key(*(value for name, path in made_of for value in (name, sha256(path))))


def run(job: Job, lanes: Lanes) -> CellResult:
    """What came of the cell; every fault of the lab or of Dryboot itself is a result too.

    A worker with another Dryboot, QEMU or image would answer another question, so it runs nothing.
    """
    try:
        lane = lanes[job.cell.lane]
        _same("Dryboot", job.dryboot, dryboot())
        needs = lane.needs(job.cell.qemu)
        for name in sorted({*job.needs, *needs}):
            _same(name, job.needs.get(name, "none"), needs.get(name, "none"))
        result = lane.run(job)
    except DrybootError as error:
        return fault(job, str(error))
    except Exception as error:
        return fault(job, f"a mistake in Dryboot itself: {error!r}", console=traceback.format_exc())
    if result.cell != job.cell:
        return fault(job, f"the lane has run {result.cell.name} in place of {job.cell.name}")
    return result


def fault(job: Job, text: str, *, console: str = "") -> CellResult:
    """The result of a cell of which nothing is known, and why."""
    return CellResult(cell=job.cell, ended=Ended.LAB_FAULT, fault=text, console=console)


def _same(name: str, wanted: str, found: str) -> None:
    if wanted != found:
        raise LabFault(
            f"{name} is {found} here and {wanted} where the matrix was started",
            hint="every machine needs the same checkout, left alone while a matrix runs, and the same QEMU",
        )
