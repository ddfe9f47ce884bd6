"""The nested lane: the QEMU under test runs in the lab's host, and vfio-pci gives it the functions.

What the owner's host does, it does: the rendered files are applied, the host boots, libvirt starts the domain.
Only the emulator and its firmware are the release's instead of the host's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.fingerprint import reading
from pipeline.fingerprint.model import Fingerprint
from pipeline.lab import sighting
from pipeline.lab.cache import Progress
from pipeline.lab.emulator import emulator
from pipeline.lab.process import tail
from pipeline.lab.releases import Release
from pipeline.lab.shell import Shell
from pipeline.lab.virsh import virsh
from pipeline.matrix.cell import Cell
from pipeline.matrix.result import CellCheck, CellResult, Ended
from pipeline.plan import Plan
from pipeline.render import Bundle
from pipeline.verdict import CheckResult, Listener, Outcome, Verdict
from pipeline.verify import UnderTest, verify

# Of the guest, of L1's QEMU for it, and of L1: the last that has something to say is kept.
_CONSOLES = ("l2-serial.log", "l2-qemu.log", "l1-serial.log", "l1.log")
_ENDED = {Outcome.HELD: Ended.HELD, Outcome.FAILED: Ended.FAILED, Outcome.LAB_FAULT: Ended.LAB_FAULT}


def run(
    cell: Cell,
    plan: Plan,
    bundle: Bundle,
    release: Release,
    *,
    accelerator: str | None,
    logs: Path,
    say: Progress,
) -> CellResult:
    """Boot the bundle's host, and in it the domain on `release`; `plan` has the cell's machine type.

    Every check of the host and of the guest counts: what is not proven here does not. Raises BadInput for a
    release that cannot run in the host, LabFault where its disk cannot be made.
    """
    look = _Look()
    under_test = UnderTest(emulator=emulator(release, say), script=sighting.script, look=look)
    verdict = verify(
        plan,
        bundle,
        findings=(),
        accelerator=accelerator,
        logs=logs,
        listener=_Said(say),
        under_test=under_test,
    )
    return result(cell, verdict, look.taken, compat=release.compat(cell.machine), logs=logs)


def result(
    cell: Cell,
    verdict: Verdict,
    taken: Fingerprint | None,
    *,
    compat: Mapping[str, str] | None,
    logs: Path,
) -> CellResult:
    """What a verdict says of a cell."""
    checks = tuple(
        CellCheck(name=one.expectation.id, held=one.outcome is Outcome.HELD, observed=str(one.observed))
        for one in verdict.checks
        if one.outcome in {Outcome.HELD, Outcome.FAILED}
    )
    ended = _ENDED.get(verdict.outcome, Ended.LAB_FAULT)
    return CellResult(
        cell=cell,
        ended=ended,
        checks=checks,
        fingerprint=taken,
        compat=compat,
        times=verdict.times,
        stand_ins=(
            *(f"{one.part}: {one.ran} for {one.asked}" for one in verdict.stand_ins),
            *verdict.replacements,
        ),
        fault=verdict.fault,
        console="" if ended is Ended.HELD else _console(logs),
    )


@dataclass(frozen=True, slots=True)
class _Said(Listener):
    """Says what is being done."""

    say: Progress

    def step(self, text: str) -> None:
        """See Listener."""
        self.say(text)

    def check(self, result: CheckResult) -> None:
        """See Listener."""
        self.say(f"{result.expectation.id}: {result.outcome.value}")


@dataclass(slots=True)
class _Look:
    """Takes the fingerprint of the guest while it runs."""

    taken: Fingerprint | None = None

    def __call__(self, shell: Shell, name: str, serial: str) -> None:
        with virsh(shell, name) as monitor:
            self.taken = reading.read(sighting.collect(monitor, serial))


def _console(logs: Path) -> str:
    said = (tail(logs / name, 30) for name in _CONSOLES)
    return next((text for text in said if text.strip()), "")
