"""DB853 to DB857: vcpus pinned to processors of the host."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.plan.model import Written
from pipeline.setup import Setup
from pipeline.setup.domain import Domain, Pin

_XML = "libvirt docs/formatdomain.rst, CPU Tuning"
_KERNEL = "kernel Documentation/admin-guide/kernel-parameters.txt, isolcpus, nohz_full"
# With these, processors that are there are not all numbered from 0 without a gap.
_OFFLINE = {"nosmt", "maxcpus", "nr_cpus", "possible_cpus"}
_LARGEST = 1 << 14


@rule("DB853", holds="every kernel", source=f"{_XML}; sched_setaffinity(2), EINVAL")
def no_such_cpu(setup: Setup) -> Iterator[Problem]:
    """A vcpu is pinned to a processor that the host does not have.

    Where the host has none of the processors of a pin, the kernel refuses it and libvirt does not start the guest;
    where it has some of them, only those are used.
    """
    threads = setup.host.threads
    names = {one.value.partition("=")[0] for one in _parameters(setup)}
    if threads is None or names & _OFFLINE:
        return
    for domain in setup.domains:
        for pin in _one_for_each_place(domain.pins):
            absent = sorted(cpu for cpu in pin.cpus if cpu >= threads)
            if absent:
                none = len(absent) == len(pin.cpus)
                yield Problem(
                    severity=Severity.ERROR if none else Severity.WARNING,
                    place=pin.place,
                    found=f"{_who(pin)} is pinned to processor {_list(absent)}; the host has 0 to {threads - 1}",
                    why="the kernel refuses such a pin, and the guest does not start"
                    if none
                    else "only the processors that are there are used",
                    fix=f"choose from 0 to {threads - 1}; `lscpu -e` shows which belong to one core",
                )


def _one_for_each_place(pins: tuple[Pin, ...]) -> tuple[Pin, ...]:
    """Without the repetitions of `<vcpu cpuset=…>`, which is one place for many vcpus."""
    return tuple({pin.place: pin for pin in reversed(pins)}.values())[::-1]


@rule("DB854", holds="every kernel", source=f"{_XML}; ArchWiki PCI passthrough via OVMF, CPU pinning")
def shared_cpu(setup: Setup) -> Iterator[Problem]:
    """Two vcpus are pinned to one and the same processor.

    They take turns there, and the guest's kernel does not know it: it waits for locks that a stopped vcpu holds, which
    shows as stutter.
    """
    for domain in setup.domains:
        owner: dict[int, Pin] = {}
        for pin in domain.pins:
            if pin.vcpu is None or len(pin.cpus) != 1:
                continue
            (cpu,) = pin.cpus
            first = owner.setdefault(cpu, pin)
            # One cpuset for all vcpus is no mistake in a pin.
            if first is not pin and first.place != pin.place:
                yield Problem(
                    severity=Severity.WARNING,
                    place=pin.place,
                    found=f"vcpu {first.vcpu} and vcpu {pin.vcpu} are both pinned to processor {cpu}",
                    why="they take turns on it, and each waits for what the other one holds",
                    fix="give each vcpu a processor of its own; `lscpu -e` shows which belong to one core",
                )


@rule("DB855", holds="every kernel", source=f"{_XML}; ArchWiki PCI passthrough via OVMF, CPU pinning")
def emulator_on_vcpus(setup: Setup) -> Iterator[Problem]:
    """QEMU's own threads are pinned to processors that vcpus have for themselves.

    They then interrupt these vcpus for every request of a disk or network card. Give them a processor that the host
    keeps for itself.
    """
    for domain in setup.domains:
        single = [pin for pin in domain.pins if pin.vcpu is not None and len(pin.cpus) == 1]
        taken = {cpu for pin in single for cpu in pin.cpus}
        for pin in domain.pins:
            if pin.vcpu is None and pin.cpus and pin.cpus <= taken:
                yield Problem(
                    severity=Severity.NOTE,
                    place=pin.place,
                    found=f"the emulator is pinned to processor {_list(sorted(pin.cpus))}, which vcpus have",
                    why="QEMU's own threads take time from these vcpus",
                    fix="pin the emulator to processors that the host keeps",
                )


@rule("DB856", holds="every kernel with isolcpus= or nohz_full=", source=_KERNEL)
def isolation_differs(setup: Setup) -> Iterator[Problem]:
    """The processors that are kept free are not those that vcpus are pinned to.

    The kernel puts nothing on isolated processors by itself. One that no vcpu is pinned to stays idle for ever, and a
    vcpu on one that is not isolated shares it with the host.
    """
    pins = [pin for domain in setup.domains for pin in domain.pins]
    used = frozenset(cpu for pin in pins for cpu in pin.cpus)
    vcpus = frozenset(cpu for pin in pins if pin.vcpu is not None for cpu in pin.cpus)
    for parameter in _parameters(setup) if vcpus else ():
        name = parameter.value.partition("=")[0]
        kept = _isolated(parameter.value) if name == "isolcpus" else _cpus(parameter.value.partition("=")[2])
        if name not in {"isolcpus", "nohz_full"} or not kept:
            continue
        idle, shared = sorted(kept - used), sorted(vcpus - kept)
        if idle and name == "isolcpus":
            yield Problem(
                severity=Severity.WARNING,
                place=parameter.place,
                found=f"{parameter.value} isolates {_list(idle)}, which no guest is pinned to",
                why="the host puts nothing on an isolated processor, so it stays idle",
                fix=f"isolate what vcpus are pinned to: {name}={_list(sorted(vcpus))}",
            )
        if shared:
            yield Problem(
                severity=Severity.NOTE,
                place=parameter.place,
                found=f"{parameter.value} leaves out {_list(shared)}, which vcpus are pinned to",
                why="these vcpus share their processors with the host, or its timer interrupts them",
                fix=f"write {name}={_list(sorted(vcpus))}, or pin the vcpus to others",
            )


@rule("DB857", holds="every kernel with isolcpus= of the domain kind", source=_KERNEL)
def not_balanced(setup: Setup) -> Iterator[Problem]:
    """A vcpu may run on several isolated processors.

    Between isolated processors the kernel does not balance the load: a thread stays where it was started, so that all
    vcpus with such a pin can end up on one processor.
    """
    kept = frozenset(cpu for one in _parameters(setup) for cpu in _isolated(one.value))
    for domain in setup.domains if kept else ():
        for pin in _one_for_each_place(_of_vcpus(domain)):
            several = sorted(pin.cpus & kept)
            if len(several) > 1:
                yield Problem(
                    severity=Severity.WARNING,
                    place=pin.place,
                    found=f"{_who(pin)} may run on the isolated processors {_list(several)}",
                    why="the kernel does not balance between them, and all vcpus can end up on one",
                    fix="pin each vcpu to one processor, or leave isolcpus= out",
                )


def _of_vcpus(domain: Domain) -> tuple[Pin, ...]:
    return tuple(pin for pin in domain.pins if pin.vcpu is not None)


def _parameters(setup: Setup) -> tuple[Written[str], ...]:
    return setup.host.command_line.parameters if setup.host.command_line else ()


def _isolated(parameter: str) -> frozenset[int]:
    """The processors that isolcpus= takes out of the scheduler's domains; none where its flags leave that out."""
    name, _, value = parameter.partition("=")
    parts = value.split(",") if name == "isolcpus" else []
    flags = [part for part in parts if part[:1].isalpha()]
    if flags and "domain" not in flags:
        return frozenset()
    return _cpus(",".join(part for part in parts if not part[:1].isalpha()))


def _cpus(text: str) -> frozenset[int]:
    """A list such as 2-5,8; what has another form (with steps, `N`) counts for nothing."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()) or int(last or first) >= _LARGEST:
            return frozenset()
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _list(cpus: list[int]) -> str:
    """2,3,4,8 as 2-4,8."""
    parts: list[list[int]] = []
    for cpu in cpus:
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in parts)


def _who(pin: Pin) -> str:
    return "the emulator" if pin.vcpu is None else f"vcpu {pin.vcpu}"


RULES: tuple[Rule, ...] = (no_such_cpu, shared_cpu, emulator_on_vcpus, isolation_differs, not_balanced)
