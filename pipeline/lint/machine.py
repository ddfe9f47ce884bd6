"""DB60x: the guest's machine type against the QEMU of the host."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.facts import machines
from pipeline.facts.machines import Status
from pipeline.lint.edit import Edit, replace
from pipeline.lint.finding import Severity
from pipeline.lint.receiving import receiving
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.plan.model import Written
from pipeline.setup import Setup
from pipeline.setup.model import Origin

_LIST = "qemu-system-x86_64 -machine help"
_HELP = f"{_LIST}, measured with 7.2, 10.0 and 11.1"
_EVERY = "every QEMU release that is known here"

# Aliases of the newest type of a board.
_ALIASES = {"q35", "pc"}
# Boards that are no PC with a versioned type, and the types that Red Hat and Ubuntu make of their own.
_OTHER = re.compile(
    r"microvm|isapc|none|x-remote|xen(fv|pv).*|pc-(q35|i440fx)-(rhel[0-9.]+|[a-z]{4,}(-[a-z0-9]+)*)"
)


def _types(setup: Setup) -> Iterator[tuple[Written[str], str]]:
    """The machine type of each domain with the host's QEMU release, where that is known."""
    if setup.host.qemu:
        for domain in setup.domains:
            yield domain.machine, setup.host.qemu.value


@rule("DB601", holds=_EVERY, source=_HELP)
def machine_unknown(setup: Setup) -> Iterator[Problem]:
    """No QEMU has such a machine type.

    The name was mistyped; QEMU refuses to start the guest.
    """
    yield from _unusable(setup, Status.UNKNOWN, "no QEMU has a machine type {machine}", _HELP)


@rule("DB602", holds=_EVERY, source=machines.policy_source())
def machine_removed(setup: Setup) -> Iterator[Problem]:
    """The host's QEMU no longer has the machine type.

    Versioned machine types are deprecated after three years and removed after six, so a type that was pinned for a
    reason of its day is gone some day. QEMU then refuses to start the guest.
    """
    yield from _unusable(
        setup, Status.REMOVED, "QEMU {qemu} no longer has {machine}", machines.policy_source()
    )


@rule("DB603", holds=_EVERY, source=_HELP)
def machine_not_yet(setup: Setup) -> Iterator[Problem]:
    """The host's QEMU does not have the machine type yet.

    The domain was written for a newer QEMU; this one refuses to start the guest.
    """
    yield from _unusable(setup, Status.NOT_YET, "QEMU {qemu} does not have {machine} yet", _HELP)


def _unusable(setup: Setup, wanted: Status, found: str, source: str) -> Iterator[Problem]:
    for machine, qemu in _types(setup):
        if _pinned_q35(machine.value) and machines.status(machine.value, qemu=qemu) is wanted:
            yield Problem(
                severity=Severity.ERROR,
                place=machine.place,
                found=found.format(machine=machine.value, qemu=qemu),
                why=_with_note(machine.value, "QEMU refuses to start the guest: unsupported machine type"),
                fix=_nearest(machine.value, qemu),
                edits=_to_nearest(machine, qemu),
                source=_with_note_source(machine.value, source),
            )


@rule("DB604", holds="QEMU 9.1 and later", source=machines.policy_source())
def machine_deprecated(setup: Setup) -> Iterator[Problem]:
    """The host's QEMU calls the machine type deprecated.

    It works, with a warning, and is removed three years later.
    """
    newest = machines.newest_qemu()
    for machine, qemu in _types(setup):
        if machines.status(machine.value, qemu=qemu) is not Status.DEPRECATED:
            continue
        if machines.status(machine.value, qemu=newest) is not Status.REMOVED:
            yield Problem(
                severity=Severity.WARNING,
                place=machine.place,
                found=f"QEMU {qemu} calls {machine.value} deprecated",
                why=_with_note(machine.value, "a machine type is removed six years after its release"),
                fix=_nearest(machine.value, qemu),
                edits=_to_nearest(machine, qemu),
                source=_with_note_source(machine.value, machines.policy_source()),
            )


@rule("DB605", holds="QEMU releases that still have the type", source=machines.policy_source())
def machine_goes(setup: Setup) -> Iterator[Problem]:
    """A newer QEMU no longer has the machine type.

    It works until the package manager brings that release; then the guest does not start.
    """
    newest = machines.newest_qemu()
    for machine, qemu in _types(setup):
        usable = machines.status(machine.value, qemu=qemu) in {Status.SUPPORTED, Status.DEPRECATED}
        if usable and machines.status(machine.value, qemu=newest) is Status.REMOVED:
            yield Problem(
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


@rule(
    "DB606",
    holds="every QEMU",
    source="QEMU docs/system/target-i386.rst; libvirt docs/formatdomain.rst, os/type",
)
def machine_unpinned(setup: Setup) -> Iterator[Problem]:
    """The machine type has no version.

    `q35` stands for the newest type of whatever QEMU defines the guest, so the guest's hardware depends on when that
    was; Windows may want to be activated anew. libvirt puts the version in when it defines the domain, so a domain of
    a machine has it.
    """
    for domain in setup.domains:
        machine = domain.machine
        if machine.value == "q35":
            newest = _newest(setup.host.qemu.value) if setup.host.qemu else None
            yield Problem(
                severity=Severity.WARNING,
                place=machine.place,
                found="q35 is not pinned to a version",
                why="it stands for the newest type of whatever QEMU defines the guest, so the guest's hardware "
                "depends on when that was",
                fix=f"write {newest}" if newest else f"write the newest of `{_LIST}`",
                edits=(replace(machine, newest),) if newest else (),
            )


@rule("DB607", holds="every QEMU", source="QEMU docs/pcie.txt; ArchWiki PCI passthrough via OVMF")
def machine_without_pcie(setup: Setup) -> Iterator[Problem]:
    """The machine type has no PCI Express.

    The card would be a conventional PCI device without root port, and drivers of GPUs miss what they look for there.
    `pc` stands for the newest type with the chipset i440FX, and is what libvirt takes where a domain names none.
    """
    for domain in receiving(setup):
        machine = domain.machine
        if "i440fx" in machine.value or machine.value == "pc":
            yield Problem(
                severity=Severity.ERROR,
                place=machine.place,
                found=f"{machine.value} has no PCI Express",
                why="the card would be a conventional PCI device without root port, and drivers of GPUs miss "
                "what they look for there",
                fix=(f"write {_newest(setup.host.qemu.value)}" if setup.host.qemu else "write a pc-q35 type")
                + "; an installed system keeps its disks, but its controllers and addresses are others: define the "
                "guest anew around them" * (setup.origin is Origin.FILES),
            )


def _pinned_q35(machine: str) -> bool:
    return machine not in _ALIASES and "i440fx" not in machine and not _OTHER.fullmatch(machine)


def _newest(qemu: str) -> str:
    names = machines.available(qemu)
    return names[-1] if names else f"pc-q35-{qemu}"


def _upgrade(machine: str, qemu: str, newest: str) -> str:
    near = machines.nearest(machine, qemu=newest)
    if near in machines.available(qemu):
        return f"write {near}, which QEMU {qemu} and QEMU {newest} have"
    return f"keep it with QEMU {qemu}; with QEMU {newest} write {near}, the nearest that it has"


def _to_nearest(machine: Written[str], qemu: str) -> tuple[Edit, ...]:
    near = machines.nearest(machine.value, qemu=qemu)
    return (replace(machine, near),) if near else ()


def _nearest(machine: str, qemu: str) -> str:
    near = machines.nearest(machine, qemu=qemu)
    return f"write {near}, the nearest that QEMU {qemu} has" if near else f"see {_HELP}"


def _with_note(machine: str, text: str) -> str:
    note = machines.note(machine)
    return f"{text}; {machine}: {note.text}" if note else text


def _with_note_source(machine: str, text: str) -> str:
    note = machines.note(machine)
    return f"{text}; {note.source}" if note else text


RULES: tuple[Rule, ...] = (
    machine_unknown,
    machine_removed,
    machine_not_yet,
    machine_deprecated,
    machine_goes,
    machine_unpinned,
    machine_without_pcie,
)
