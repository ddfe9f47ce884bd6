"""DB831 to DB834: the guest's processor."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import Place
from pipeline.lint.finding import Severity
from pipeline.lint.receiving import NVIDIA, gpus, receiving
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup
from pipeline.setup.domain import Domain
from pipeline.setup.model import Origin

_XML = "libvirt docs/formatdomain.rst, CPU model and topology"
_CLIENTS = {"windows10": "Windows 10", "windows11": "Windows 11"}
_SOCKETS = 2


@rule(
    "DB831",
    holds="every libvirt",
    source=f"{_XML}; libvirt src/qemu/qemu_command.c qemuBuildSmpCommandLine(); Microsoft: Windows 10 and 11 editions",
)
def many_sockets(setup: Setup) -> Iterator[Problem]:
    """Windows sees more sockets than it uses.

    Without `<topology>` libvirt makes every vcpu a socket. Windows 10 and 11 Home use one socket, Pro two; the rest of
    the processors is there and idle.
    """
    for domain in receiving(setup):
        system = _CLIENTS.get(domain.os or "")
        sockets = domain.cpu.topology[0] if domain.cpu.topology else domain.threads.value
        if system is None or sockets < 2:
            continue
        beyond = sockets > _SOCKETS
        yield Problem(
            severity=Severity.WARNING if beyond else Severity.NOTE,
            place=domain.cpu.place,
            found=f"{system} sees {sockets} sockets"
            + (" of one processor each" if domain.cpu.topology is None else ""),
            why=f"{system} Home uses one socket, Pro {_SOCKETS}" + "; the others stay idle" * beyond,
            fix=f"write {_topology(domain)} into <cpu>",
        )


def _topology(domain: Domain) -> str:
    if domain.cpu.topology:
        sockets, cores, threads = domain.cpu.topology
        return f"<topology sockets='1' cores='{sockets * cores}' threads='{threads}'/>"
    return f"<topology sockets='1' cores='{domain.threads.value}' threads='1'/>"


@rule(
    "DB832",
    holds="every libvirt",
    source=f"{_XML}; QEMU docs/system/cpu-models-x86.rst.inc; Microsoft: Windows 11 24H2",
)
def default_model(setup: Setup) -> Iterator[Problem]:
    """The domain says nothing about the processor.

    QEMU then gives the guest `qemu64`, which has hardly more than every processor of 2003: no SSE4.2, AVX or AES.
    Drivers of graphics cards and games want these, and Windows 11 does not start without POPCNT since 24H2.
    """
    for domain in receiving(setup):
        if not domain.cpu.mode:
            yield Problem(
                severity=Severity.WARNING,
                place=domain.cpu.place,
                found=f"{domain.name} has no <cpu>, so its processor is qemu64",
                why="it lacks SSE4.2, AVX and AES, which drivers, games and Windows 11 need",
                fix="write <cpu mode='host-passthrough'/>",
            )


@rule("DB833", holds="every libvirt", source=f"{_XML}; QEMU docs/devel/migration/vfio.rst")
def model_for_migration(setup: Setup) -> Iterator[Problem]:
    """The processor is a named model, which only migration needs.

    `host-model` is the nearest model that libvirt knows, without what it has no name for, so that the guest could move
    to another host. With a device passed through it cannot move. `host-passthrough` gives the guest everything the
    processor has. What a scenario says is taken for a decision; the note is for domains of a machine.
    """
    if setup.origin is Origin.SCENARIO:
        return
    for domain in receiving(setup):
        if domain.cpu.mode == "host-model":
            yield Problem(
                severity=Severity.NOTE,
                place=domain.cpu.place,
                found=f"{domain.name} has the processor host-model",
                why="it leaves out what has no name, to allow a migration that the passed device makes impossible",
                fix="write <cpu mode='host-passthrough' check='none' migratable='off'>",
            )


@rule(
    "DB834",
    holds="NVIDIA's driver 465 (April 2021) and later",
    source="NVIDIA support answer 5173, GeForce GPU passthrough for Windows virtual machine",
)
def hidden_for_nothing(setup: Setup) -> Iterator[Problem]:
    """The hypervisor is hidden from NVIDIA's driver, which no longer minds it.

    Drivers before 465 stopped with code 43 where they saw a hypervisor. Newer ones do not. Cards that have no driver
    that new (Fermi and older) still need it, and so do some programs for other reasons.
    """
    for domain in receiving(setup):
        cards = [one for _, one in gpus(setup, domain) if one.ids.vendor == NVIDIA]
        for place, what in _hidden(domain) if cards else ():
            yield Problem(
                severity=Severity.NOTE,
                place=place,
                found=f"{what} hides the hypervisor from NVIDIA's driver",
                why="drivers since 465 (April 2021) work in a virtual machine as it is",
                fix="it may go, unless the guest has an older driver",
            )


def _hidden(domain: Domain) -> Iterator[tuple[Place, str]]:
    if domain.hidden.kvm:
        yield domain.hidden.kvm, "<kvm><hidden state='on'/>"
    if domain.hidden.vendor_id:
        yield domain.hidden.vendor_id, "<vendor_id> of <hyperv>"


RULES: tuple[Rule, ...] = (many_sockets, default_model, model_for_migration, hidden_for_nothing)
