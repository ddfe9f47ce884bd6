"""What must hold on a host that hands its card over when the guest starts, from the decisions alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.facts.kernels import canonical
from pipeline.pci import Address
from pipeline.plan.grouping import predict
from pipeline.plan.model import Check, Expectation, GuestPlan, Handover, Stage
from pipeline.plan.topology import PlannedFunction, Topology

# What the hook's messages are found by: journalctl -t TAG.
TAG = "passthrough"


def at_boot(
    handover: Handover, topology: Topology, stated_groups: Sequence[Sequence[str]]
) -> Iterator[Expectation]:
    """That the host has booted with the card, and is ready to hand it over."""
    hook = f"/{handover.hook}"
    yield Expectation(
        check=Check.HOOK,
        stage=Stage.HOST,
        subject=hook,
        expected="executable",
        place=handover.place,
        why="libvirt passes over a hook that is not executable: the guest gets the card while the host uses it",
        fix=f"chmod 755 {hook}, then restart libvirt's daemon: it looks for hooks when it starts",
    )
    if handover.display_manager:
        unit = handover.display_manager
        yield Expectation(
            check=Check.DISPLAY,
            stage=Stage.HOST,
            subject=unit.value,
            expected="active",
            place=unit.place,
            why="the hook stops a unit that does not run, and what shows on the card goes on",
            fix="write the unit that `systemctl status display-manager` names on the host",
        )
    for function in topology.functions:
        if function.passed:
            yield from _with_its_driver(function, handover)
    for function in _beside(topology, stated_groups):
        yield Expectation(
            check=Check.UNHELD,
            stage=Stage.HOST,
            subject=str(function.address),
            expected="no driver",
            place=function.place,
            why="it shares the group of a passed-through function and a driver of the host holds it: VFIO refuses the "
            "group when the guest starts ('group is not viable')",
            fix=f"add {function.address} to `passthrough`, or use a slot that does not share the group",
        )


def _with_its_driver(function: PlannedFunction, handover: Handover) -> Iterator[Expectation]:
    yield Expectation(
        check=Check.STAYS,
        stage=Stage.HOST,
        subject=str(function.address),
        expected="not vfio-pci",
        place=handover.place,
        why="vfio-pci has taken the function at boot, so the host has no screen",
        fix="see which file of /etc/modprobe.d or which kernel parameter gives vfio-pci ids",
    )
    if function.drivers:
        yield Expectation(
            check=Check.OWN_DRIVER,
            stage=Stage.HOST,
            subject=str(function.address),
            expected=_drivers(function),
            place=function.place,
            why="no driver of the host has tried the function, so the card stays dark",
            fix=f"load one of {', '.join(function.drivers)} on the host",
        )


def _drivers(function: PlannedFunction) -> tuple[str, ...]:
    return tuple(sorted(canonical(driver) for driver in function.drivers))


def _beside(topology: Topology, stated_groups: Sequence[Sequence[str]]) -> list[PlannedFunction]:
    """What stays on the host in a group of a passed function; a bridge to the host (06xx) has no driver."""
    passed = {function.address for function in topology.functions if function.passed}
    stated = [frozenset(Address.parse(member) for member in members) for members in stated_groups]
    predicted = predict(topology).groups
    groups = [group for group in stated if group & passed]
    known = frozenset().union(*stated)
    groups += [predicted[address] for address in passed if address not in known]
    return [
        function
        for function in topology.functions
        if not function.passed
        and not function.class_code.startswith("06")
        and any(function.address in group for group in groups)
    ]


def at_guest_start(
    handover: Handover, guest: GuestPlan, passed: Sequence[PlannedFunction]
) -> Iterator[Expectation]:
    """That the guest gets the card while it runs, and the host has it again afterwards."""
    hook = f"/{handover.hook}"
    see = f"`journalctl -t {TAG}` says what it did"
    for function in passed:
        yield Expectation(
            check=Check.HANDED_OVER,
            stage=Stage.GUEST,
            subject=str(function.address),
            expected="vfio-pci",
            place=function.place,
            why="the guest runs and vfio-pci does not hold the function",
            fix=f"give the domain a hostdev with managed='yes' whose source is {function.address}; {hook} leaves "
            "that to libvirt",
        )
    unit = handover.display_manager
    if unit:
        yield Expectation(
            check=Check.DISPLAY_STOPPED,
            stage=Stage.GUEST,
            subject=unit.value,
            expected="inactive",
            place=unit.place,
            why="what shows on the card still runs while the guest has it: taking a card in use from its driver hangs "
            "or crashes the host",
            fix=f"`prepare begin` of {hook} has to stop it; {see}",
        )
    yield Expectation(
        check=Check.SCREEN_FREED,
        stage=Stage.GUEST,
        subject=guest.name,
        expected="no console and no boot frame buffer on it",
        place=handover.place,
        why="the host still draws into the card's memory, and vfio-pci cannot reserve it",
        fix=f"`prepare begin` of {hook} has to unbind them; {see}",
    )
    yield Expectation(
        check=Check.GUEST_ENDED,
        stage=Stage.GUEST,
        subject=guest.name,
        expected="shut off",
        place=handover.place,
        why="libvirt waits for its hook, and does nothing with this guest meanwhile",
        fix=f"see where `release end` of {hook} waits: nothing in it may call libvirt",
    )
    for function in passed:
        yield Expectation(
            check=Check.GIVEN_BACK,
            stage=Stage.GUEST,
            subject=str(function.address),
            expected=_drivers(function) or "free",
            place=function.place,
            why="the host does not get the function back when the guest ends, so its screen stays dark",
            fix=f"give the domain's hostdevs managed='yes'; nothing in {hook} may keep vfio-pci on the function",
        )
    if unit:
        yield Expectation(
            check=Check.DISPLAY_BACK,
            stage=Stage.GUEST,
            subject=unit.value,
            expected="active",
            place=unit.place,
            why="nobody can log in at the host's screen after the guest has ended",
            fix=f"`release end` of {hook} has to start it; {see}",
        )
    yield Expectation(
        check=Check.SCREEN_BACK,
        stage=Stage.GUEST,
        subject=guest.name,
        expected="every frame buffer console bound",
        place=handover.place,
        why="the host's consoles stay dark after the guest has ended",
        fix=f"`release end` of {hook} has to bind them; {see}",
    )
