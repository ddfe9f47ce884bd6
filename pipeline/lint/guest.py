"""DB80x: the guest against the host that carries it."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup
from pipeline.setup.model import Origin

_XML = "libvirt docs/formatdomain.rst, Host device assignment"


@rule(
    "DB801",
    holds="every kernel and QEMU",
    source="kernel drivers/vfio/vfio_iommu_type1.c vfio_pin_pages_remote(); ArchWiki PCI passthrough via OVMF",
)
def memory_too_large(setup: Setup) -> Iterator[Problem]:
    """The guest takes all memory of the host.

    With a device passed through, all memory of the guest is pinned from the start: nothing of it can be swapped or
    shared, and the host needs some itself.
    """
    memory = setup.host.memory
    for domain in setup.domains if memory else ():
        assert memory is not None
        if domain.memory.value >= memory:
            yield Problem(
                severity=Severity.ERROR,
                place=domain.memory.place,
                found=f"the guest has {_size(domain.memory.value)}, the host {_size(memory)}",
                why="with a device passed through all memory of the guest is pinned from the start, and the host "
                "needs some itself",
                fix=f"less than {_size(memory)}, with a few GiB left for the host",
            )


@rule(
    "DB802",
    holds="every kernel and QEMU",
    source="QEMU: 'Number of SMP cpus requested exceeds the recommended cpus supported by KVM'",
)
def too_many_threads(setup: Setup) -> Iterator[Problem]:
    """The guest has more threads than the host.

    The guest's processors wait for each other, which shows as stutter.
    """
    threads = setup.host.threads
    for domain in setup.domains if threads else ():
        assert threads is not None
        if domain.threads.value > threads:
            yield Problem(
                severity=Severity.WARNING,
                place=domain.threads.place,
                found=f"the guest has {domain.threads.value} threads, the host {threads}",
                why="the guest's processors wait for each other, which shows as stutter",
                fix=f"at most {threads} threads, better fewer",
            )


@rule("DB803", holds="every libvirt", source=_XML)
def source_not_passed(setup: Setup) -> Iterator[Problem]:
    """The domain names a function that is not passed through.

    libvirt would take it from the host's driver while the host uses it, or does not find the device at all: then the
    guest does not start.
    """
    board = setup.board
    if board is None:
        return
    passed = {function.address for function in board.passed}
    known = {function.address for function in board.functions}
    for device in (device for domain in setup.domains for device in domain.host_devices):
        if device.source in passed:
            continue
        there = device.source in known
        yield Problem(
            severity=Severity.ERROR,
            place=device.place,
            found=f"{device.source} is in the domain, but is not passed through"
            if there
            else f"{device.source} is in the domain, but there is no such function",
            why="libvirt would take it from the host's driver while the host uses it"
            if there
            else "libvirt does not find the device, and the guest does not start",
            fix="passed through are " + ", ".join(str(function.address) for function in board.passed)
            if passed
            else "compare with `lspci -nn`",
        )


@rule("DB804", holds="every libvirt", source=_XML)
def passed_not_in_domain(setup: Setup) -> Iterator[Problem]:
    """A function is passed through, but the domain leaves it out.

    vfio-pci keeps it from the host, and the guest does not get it: neither can use it.
    """
    board = setup.board
    if board is None or not setup.domains:
        return
    sources = {device.source for domain in setup.domains for device in domain.host_devices}
    scenario = setup.origin is Origin.SCENARIO
    for function in board.passed:
        if function.address not in sources:
            yield Problem(
                severity=Severity.WARNING,
                place=setup.domains[0].host_devices_where,
                found=f"{function.address} is passed through, but is not in "
                + ("guest.host_devices" if scenario else "the domain"),
                why="neither host nor guest can use the function",
                fix=f"add {function.address}"
                + ", or leave out guest.host_devices to have them derived" * scenario,
            )


def _size(size: int) -> str:
    return f"{size >> 30} GiB" if size % (1 << 30) == 0 else f"{size >> 20} MiB"


RULES: tuple[Rule, ...] = (memory_too_large, too_many_threads, source_not_passed, passed_not_in_domain)
