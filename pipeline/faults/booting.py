"""The bootable faults of the catalogue, each booted with lint off."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.batch import Batch, Job, Ran
from pipeline.faults.change import make, settings
from pipeline.faults.judge import Booted, boot_of_fault
from pipeline.faults.loader import LoadedFault
from pipeline.render import write

# A run with its guest takes two to four minutes without KVM, on two cores that two runs share (measured).
DEADLINE = 900.0


def faults(
    catalogue: Sequence[LoadedFault], output: Path, *, workers: int = 0, options: Sequence[str] = ()
) -> Iterator[Booted]:
    """What a boot shows of each fault that one can show, in `output`/NAME; `options` go to each verify.

    Each run has `--fast` where nothing of the fault concerns the boot loader. A lab fault is tried once more.
    Raises BadInput where a fault cannot be made.
    """
    wanted = {found.fault.name: found for found in catalogue if found.fault.expect.boot.checks}
    with tempfile.TemporaryDirectory(prefix="dryboot-faults-") as folder:
        jobs = [_job(found, Path(folder), options) for found in wanted.values()]
        for ran in Batch(output, workers=workers, deadline=DEADLINE, retries=1).run(jobs):
            yield _judged(ran, wanted[ran.job.name])


def _job(found: LoadedFault, folder: Path, options: Sequence[str]) -> Job:
    fault, made = found.fault, make(found)
    own = [f"--set={one}" for one in settings(found)]
    if fault.files:
        write(made.bundle, folder / fault.name)
        own.append(f"--files={folder / fault.name}")
    if not fault.expect.boot.loader:
        own.append("--fast")
    return Job(name=fault.name, scenario=fault.base, options=(*own, *options))


def _judged(ran: Ran, found: LoadedFault) -> Booted:
    return boot_of_fault(ran.job.name, found.fault.expect.boot.checks, ran.status, ran.verdict, ran.seconds)
