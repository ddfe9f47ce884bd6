"""DB6xx: the guest's machine type against the QEMU of the host."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts import machines
from pipeline.facts.machines import Status
from pipeline.lint.finding import Finding, Rule, Severity
from pipeline.plan import Plan
from pipeline.scenario import Loaded

_HELP = "qemu-system-x86_64 -machine help, measured with 7.2, 10.0 and 11.1"


def machine_unusable(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB601, DB602, DB603: the host's QEMU does not know, no longer has or does not yet have the type."""
    machine, qemu = plan.guest.machine, plan.host.qemu
    if not _pinned_q35(machine.value):
        return
    status = machines.status(machine.value, qemu=qemu)
    code, found, source = {
        Status.UNKNOWN: ("DB601", f"no QEMU has a machine type {machine.value}", _HELP),
        Status.REMOVED: ("DB602", f"QEMU {qemu} no longer has {machine.value}", machines.policy_source()),
        Status.NOT_YET: ("DB603", f"QEMU {qemu} does not have {machine.value} yet", _HELP),
    }.get(status, ("", "", ""))
    if code:
        yield Finding(
            code=code,
            severity=Severity.ERROR,
            place=machine.place,
            found=found,
            why=_with_note(machine.value, "QEMU refuses to start the guest: unsupported machine type"),
            fix=_nearest(machine.value, qemu),
            source=_with_note_source(machine.value, source),
        )


def machine_deprecated(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB604, DB605: the host's QEMU has the type, but a newer one warns of it or has it no more."""
    machine, qemu = plan.guest.machine, plan.host.qemu
    status = machines.status(machine.value, qemu=qemu)
    if status not in {Status.SUPPORTED, Status.DEPRECATED}:
        return
    newest = machines.newest_qemu()
    if machines.status(machine.value, qemu=newest) is Status.REMOVED:
        yield Finding(
            code="DB605",
            severity=Severity.WARNING,
            place=machine.place,
            found=f"QEMU {newest} no longer has {machine.value}",
            why=_with_note(
                machine.value,
                f"it works with the host's QEMU {qemu}; after an upgrade the guest does not start",
            ),
            fix=_upgrade(machine.value, qemu, newest),
            source=_with_note_source(machine.value, machines.policy_source()),
        )
    elif status is Status.DEPRECATED:
        yield Finding(
            code="DB604",
            severity=Severity.WARNING,
            place=machine.place,
            found=f"QEMU {qemu} calls {machine.value} deprecated",
            why=_with_note(machine.value, "a machine type is removed six years after its release"),
            fix=_nearest(machine.value, qemu),
            source=_with_note_source(machine.value, machines.policy_source()),
        )


def machine_unpinned(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB606: the machine type has no version."""
    machine, qemu = plan.guest.machine, plan.host.qemu
    if machine.value == "q35":
        newest = _newest(qemu)
        yield Finding(
            code="DB606",
            severity=Severity.WARNING,
            place=machine.place,
            found="q35 is not pinned to a version",
            why="it stands for the newest type of whatever QEMU defines the guest, so the guest's hardware "
            "depends on when that was",
            fix=f"write {newest}",
            source="QEMU docs/system/target-i386.rst; libvirt docs/formatdomain.rst, os/type",
        )


def machine_without_pcie(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB607: the machine type has no PCI Express."""
    machine, qemu = plan.guest.machine, plan.host.qemu
    if "i440fx" in machine.value:
        yield Finding(
            code="DB607",
            severity=Severity.ERROR,
            place=machine.place,
            found=f"{machine.value} has no PCI Express",
            why="the card would be a conventional PCI device without root port, and drivers of GPUs miss "
            "what they look for there",
            fix=f"write {_newest(qemu)}",
            source="QEMU docs/pcie.txt; ArchWiki PCI passthrough via OVMF",
        )


def _pinned_q35(machine: str) -> bool:
    return machine != "q35" and "i440fx" not in machine


def _newest(qemu: str) -> str:
    names = machines.available(qemu)
    return names[-1] if names else f"pc-q35-{qemu}"


def _upgrade(machine: str, qemu: str, newest: str) -> str:
    near = machines.nearest(machine, qemu=newest)
    if near in machines.available(qemu):
        return f"write {near}, which QEMU {qemu} and QEMU {newest} have"
    return f"keep it with QEMU {qemu}; with QEMU {newest} write {near}, the nearest that it has"


def _nearest(machine: str, qemu: str) -> str:
    near = machines.nearest(machine, qemu=qemu)
    return f"write {near}, the nearest that QEMU {qemu} has" if near else f"see {_HELP}"


def _with_note(machine: str, text: str) -> str:
    note = machines.note(machine)
    return f"{text}; {machine}: {note.text}" if note else text


def _with_note_source(machine: str, text: str) -> str:
    note = machines.note(machine)
    return f"{text}; {note.source}" if note else text


RULES: tuple[Rule, ...] = (machine_unusable, machine_deprecated, machine_unpinned, machine_without_pcie)
