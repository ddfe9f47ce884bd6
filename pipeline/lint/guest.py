"""DB8xx: the guest against the host that carries it."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.lint.finding import Finding, Rule, Severity
from pipeline.plan import Plan
from pipeline.scenario import Loaded

_PINNED = "kernel drivers/vfio/vfio_iommu_type1.c vfio_pin_pages_remote(); ArchWiki PCI passthrough via OVMF"
_XML = "libvirt docs/formatdomain.rst, Host device assignment"


def memory_too_large(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB801: the guest takes all memory of the host."""
    if plan.guest.memory >= plan.host.memory:
        yield Finding(
            code="DB801",
            severity=Severity.ERROR,
            place=loaded.source.place(("guest", "memory")),
            found=f"the guest has {_size(plan.guest.memory)}, the host {_size(plan.host.memory)}",
            why="with a device passed through all memory of the guest is pinned from the start, and the host "
            "needs some itself",
            fix=f"less than {_size(plan.host.memory)}, with a few GiB left for the host",
            source=_PINNED,
        )


def too_many_threads(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB802: the guest has more threads than the host."""
    threads = plan.guest.cores * plan.guest.threads_per_core
    if threads > plan.host.threads:
        yield Finding(
            code="DB802",
            severity=Severity.WARNING,
            place=loaded.source.place(("guest", "cpu", "cores")),
            found=f"the guest has {threads} threads, the host {plan.host.threads}",
            why="the guest's processors wait for each other, which shows as stutter",
            fix=f"at most {plan.host.threads} threads, better fewer",
            source="QEMU: 'Number of SMP cpus requested exceeds the recommended cpus supported by KVM'",
        )


def source_not_passed(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB803: the domain names a function that is not passed through."""
    passed = {function.address for function in plan.passed}
    board = {function.address for function in plan.functions}
    for device in plan.guest.host_devices:
        if device.source not in passed:
            there = device.source in board
            yield Finding(
                code="DB803",
                severity=Severity.ERROR,
                place=device.place,
                found=f"{device.source} is in the domain, but is not passed through"
                if there
                else f"{device.source} is in the domain, but there is no such function",
                why="libvirt would take it from the host's driver while the host uses it"
                if there
                else "libvirt does not find the device, and the guest does not start",
                fix="passed through are " + ", ".join(str(function.address) for function in plan.passed),
                source=_XML,
            )


def passed_not_in_domain(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB804: a function is passed through, but the domain leaves it out."""
    sources = {device.source for device in plan.guest.host_devices}
    for function in plan.passed:
        if function.address not in sources:
            yield Finding(
                code="DB804",
                severity=Severity.WARNING,
                place=loaded.source.place(("guest", "host_devices")),
                found=f"{function.address} is passed through, but is not in guest.host_devices",
                why="neither host nor guest can use the function",
                fix=f"add {function.address}, or leave out guest.host_devices to have them derived",
                source=_XML,
            )


def _size(size: int) -> str:
    return f"{size >> 30} GiB" if size % (1 << 30) == 0 else f"{size >> 20} MiB"


RULES: tuple[Rule, ...] = (memory_too_large, too_many_threads, source_not_passed, passed_not_in_domain)
