"""The fast lane: the domain boots once at L0, on any QEMU release and machine type, and is looked at.

There is no host under test in it, so nothing is said of vfio-pci; the assigned functions are the same emulated ones,
where the release can have them. The payload waits at its end, so that the running machine can be looked at.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.fingerprint.sighting import Sighting
from pipeline.lab import argv, board, cache, domain, payload, sighting, toolchain, translator
from pipeline.lab import line as lines
from pipeline.lab.direct_checks import DirectCheck, compare, refused
from pipeline.lab.direct_domain import CODE, VARIABLES, DirectDomain, Medium
from pipeline.lab.direct_report import report
from pipeline.lab.line import Line
from pipeline.lab.process import tail
from pipeline.lab.releases import Release
from pipeline.lab.run_directory import RunDirectory, run_directory
from pipeline.lab.servers import forked_server
from pipeline.lab.vm import Machine, Refused, machine
from pipeline.plan.model import Plan

DEADLINE = 120.0
_NAME = "cell"
# A pipe holds 64 KiB (pipe(7)), far more than is said. Where a back end lets QEMU wait, as a socket of 1-byte messages
# soon does, the firmware's serial driver gives up after a while, and what it was to say is lost (ran; edk2
# MdeModulePkg/Bus/Pci/PciSioSerialDxe/SerialIo.c SerialWrite()).
_LINE = "line"
_CONSOLE_LINES = 25
# A guest says it byte by byte; each look at them takes as long as saying several.
_PAUSE = 0.01
_GAVE_UP = tuple(text.encode() for text in payload.GAVE_UP)
# The first sign of each phase on the serial line.
_PHASES = {
    "boot loader": b"BdsDxe: starting",
    "shell": b"UEFI Interactive Shell",
    "payload": payload.BEGIN.encode(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectRun:
    """What came of one boot. `times` in seconds from QEMU's start; `preparing`, `looking`, `ending` are lengths.

    `sighting` is None where it did not come so far; `console` is the end of what was said where a check failed.
    """

    checks: tuple[DirectCheck, ...]
    sighting: Sighting | None = None
    times: Mapping[str, float] = field(default_factory=dict)
    stand_ins: tuple[str, ...] = ()
    console: str = ""

    @property
    def held(self) -> bool:
        """Whether every check held."""
        return all(check.held for check in self.checks)


def boot(
    plan: Plan,
    xml: bytes,
    release: Release,
    machine_type: str,
    *,
    deadline: float = DEADLINE,
    accelerator: str = "tcg",
    progress: Callable[[str], None] = lambda _: None,
) -> DirectRun:
    """Boot the domain `xml` of `plan` on `release` with `machine_type`, within `deadline` seconds, and look at it.

    What libvirt or QEMU refuses is a failed check. Raises LabFault, with the console's end, where QEMU dies on the
    way, or where nothing is said of it by then.
    """
    started = time.monotonic()
    name = release.versioned(machine_type)
    names = {function.address: board.socket_name(function.address) for function in plan.passed}
    emulated = {spec.name: spec for spec in board.lay_out(plan).emulated}
    sockets = {address: f"{one}.sock" for address, one in names.items() if one in emulated}
    changed = argv.domain(xml, release, machine=name, sockets=sockets, accelerator=accelerator)
    stand_ins = (*changed.replacements, f"QEMU: {release.qemu.origin}")
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(run_directory(cache.runs()))
        wanted = [board.socket_name(place.source) for place in changed.places]
        served = [emulated[one] for one in wanted if one in changed.emulated]
        try:
            arguments = argv.arguments(changed, release, progress)
        except translator.Refused as error:
            return DirectRun(checks=refused(error.message))
        put_files(changed, release, run, progress)
        if served:
            stack.enter_context(forked_server(served, run=run))
        times = {"preparing": time.monotonic() - started}
        try:
            said, seen = _watched(release, name, arguments, run, deadline, times)
        except Refused as error:
            console = tail(run.path / f"{_NAME}.log", _CONSOLE_LINES)
            return DirectRun(checks=refused(error.message), times=times, stand_ins=stand_ins, console=console)
    told = report(seen, domain.root_ports(xml)) if seen else None
    checks = tuple(compare(plan, name, changed, told))
    held = all(check.held for check in checks)
    return DirectRun(
        checks=checks,
        sighting=replace(seen, times=dict(times)) if seen else None,
        times=times,
        stand_ins=stand_ins,
        console="" if held else "\n".join(payload.clean(one) for one in said.splitlines()[-_CONSOLE_LINES:]),
    )


def put_files(
    changed: DirectDomain, release: Release, run: RunDirectory, progress: Callable[[str], None]
) -> None:
    """Put the firmware and the media of a domain at L0 into the run's directory."""
    (run.path / CODE).symlink_to(release.firmware.plain.code.resolve())
    shutil.copyfile(release.firmware.plain.variables, run.path / VARIABLES)
    for medium in changed.media:
        target = run.path / medium.name
        if medium.payload:
            target.symlink_to(_payload(medium, progress))
        else:
            target.write_bytes(bytes(1 << 20))


def _payload(medium: Medium, progress: Callable[[str], None]) -> Path:
    """The payload as a disk or a CD; it is the same for every cell."""
    shell = toolchain.efi_shell(progress)
    script = sighting.short_script()

    def make(fresh: Path) -> None:
        payload.fat_image(shell, script, fresh / "disk")
        if medium.cdrom:
            payload.boot_iso(fresh / "disk", fresh / "cd")

    key = cache.key("payload", 1, script, medium.cdrom, payload.boot_program(shell))
    return cache.prepared("payloads", key, make) / ("cd" if medium.cdrom else "disk")


def _watched(
    release: Release,
    machine_type: str,
    arguments: Sequence[str],
    run: RunDirectory,
    deadline: float,
    times: dict[str, float],
) -> tuple[str, Sighting | None]:
    """What the guest says, and the look at it where the payload came to its end; `times` get what each part took."""
    log = run.path / f"{_NAME}-serial.log"
    with lines.line(run, f"{_NAME}-line") as line:
        backend = f"{line.backend},id={argv.SERIAL_CHARDEV},logfile={log.name},logappend=off"
        began = time.monotonic()
        with machine(
            release.qemu,
            ["-chardev", backend, *arguments],
            run=run,
            name=_NAME,
            what=f"the cell {release.name} {machine_type}",
            own_line=True,
        ) as guest:
            times["QEMU"] = time.monotonic() - began
            try:
                said, through = _listen(line, guest, began, deadline, times)
            except LabFault as error:
                said_last = tail(log, _CONSOLE_LINES)
                raise LabFault(f"{error.message}\n{said_last}".rstrip()) from error
            looked = time.monotonic()
            seen = sighting.collect(guest, said) if through else None
            ended = time.monotonic()
            times["looking"] = ended - looked
        times["ending"] = time.monotonic() - ended
    return said, seen


def _listen(
    line: Line, guest: Machine, began: float, deadline: float, times: dict[str, float]
) -> tuple[str, bool]:
    """What the serial line says up to the payload's end, and whether that came (else the firmware gave up).

    Raises LabFault where QEMU ends, or nothing of both has come `deadline` seconds after `began`.
    """
    said = bytearray()
    for part in _parts(line, guest, began + deadline):
        said += part
        now = time.monotonic() - began
        times.setdefault("first word", now)
        for phase, sign in _PHASES.items():
            if phase not in times and sign in said:
                times[phase] = now
        if (whole := up_to_the_end(said)) is not None:
            times["payload's end"] = now
            return whole, True
        if any(sign in said for sign in _GAVE_UP):
            return said.decode(errors="replace"), False
    raise LabFault(f"the guest has not come to its end in {deadline:g} s")


def up_to_the_end(said: bytes | bytearray) -> str | None:
    """What was said up to the payload's end, which begins a line; None before that has come.

    What comes after it (the shell's prompt) comes sooner or later, so two boots would not say the same.
    """
    if payload.END.encode() not in said:
        return None
    lines = said.decode(errors="replace").splitlines()
    for number, line in enumerate(lines):
        if payload.clean(line).startswith(payload.END):
            return "\n".join([*lines[:number], payload.END]) + "\n"
    return None


def _parts(line: Line, guest: Machine, until: float) -> Iterator[bytes]:
    """What comes over the line until then. Raises LabFault where QEMU ends."""
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([line], [], [], min(left, 1.0))
        if not ready:
            guest.check()
            continue
        part = line.read()
        if part:
            yield part
            time.sleep(_PAUSE)
        else:
            with contextlib.suppress(Exception):
                guest.process.wait(timeout=5)
            guest.check()
            raise LabFault("QEMU has closed the guest's serial line")
