"""DB5xx: IOMMU groups and what of them is passed through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.errors import Place
from pipeline.lint.finding import Finding, Rule, Severity
from pipeline.pci import Address
from pipeline.plan import Plan
from pipeline.plan.grouping import Grouping, Joined, predict
from pipeline.plan.grouping import Rule as Join
from pipeline.plan.topology import Kind, Node, PlannedFunction
from pipeline.scenario import Loaded

_VIABLE = "kernel Documentation/driver-api/vfio.rst; drivers/iommu/iommu.c pci_device_group()"


def slot_incomplete(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB501: some functions of a card are passed through, others are not."""
    slots = {function.address.slot: function for function in reversed(plan.passed)}
    groups = predict(plan.topology).groups
    place = loaded.source.place(("passthrough",))
    for slot, function in slots.items():
        left_out = [
            one
            for one in plan.functions
            if one.address.slot == slot and one.address in groups[function.address] and not one.passed
        ]
        yield from _left_out("DB501", left_out, f"is in the slot of {function.address}", place)


def group_incomplete(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB502: some functions of a group that the owner states are passed through, others are not."""
    slots = {function.address.slot for function in plan.passed}
    place = loaded.source.place(("passthrough",))
    for stated in loaded.scenario.expect.groups or ():
        members = {Address.parse(member) for member in stated}
        inside = [one for one in plan.passed if one.address in members]
        if inside:
            left_out = [
                one
                for one in plan.functions
                if one.address in members and not one.passed and one.address.slot not in slots
            ]
            yield from _left_out("DB502", left_out, f"is in the group of {inside[0].address}", place)


def _left_out(code: str, functions: Sequence[PlannedFunction], where: str, place: Place) -> Iterator[Finding]:
    for function in functions:
        held = bool(function.drivers)
        yield Finding(
            code=code,
            severity=Severity.ERROR if held else Severity.WARNING,
            place=place,
            found=f"{function.address} {where}, but is not passed through",
            why=f"a group goes to one guest whole: while {function.drivers[0]} of the host holds "
            f"{function.address}, VFIO says that the group is not viable and the guest does not start"
            if held
            else "a group goes to one guest whole; it works only as long as no driver of the host takes it",
            fix=f"add {function.address} to `passthrough`",
            source=_VIABLE,
        )


def groups_contradicted(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB503: the groups that the owner states are not those that the board has by the kernel's rules."""
    predicted = predict(plan.topology).groups
    for index, stated in enumerate(loaded.scenario.expect.groups or ()):
        members = sorted(Address.parse(member) for member in stated)
        unknown = [member for member in members if member not in predicted]
        if unknown:
            why = f"{', '.join(map(str, unknown))} is not on the board, so it is in no group"
        elif predicted[members[0]] == frozenset(members):
            continue
        else:
            likely = {predicted[member] for member in members}
            texts = sorted(", ".join(str(one) for one in sorted(group)) for group in likely)
            why = "by the kernel's rules this board has " + " | ".join(texts)
        yield Finding(
            code="DB503",
            severity=Severity.WARNING,
            place=loaded.source.place(("expect", "groups", index)),
            found=f"the group {', '.join(map(str, members))} is not one of this board",
            why=why,
            fix="correct expect.groups, or describe the board as it is; `verify` proves which is right",
            source=_VIABLE,
        )


def group_shared(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB504: by the kernel's rules the group of a passed-through function also holds functions that stay."""
    stated = {Address.parse(one) for members in loaded.scenario.expect.groups or () for one in members}
    grouping = predict(plan.topology)
    nodes = {node.address: node for node, _ in plan.topology.walk()}
    slots = {function.address.slot for function in plan.passed}
    named: set[Address] = set()
    for function in plan.passed:
        if function.address in stated:
            continue  # the owner knows better; DB502 and DB503 compare
        for other in plan.functions:
            inside = other.address in grouping.groups[function.address]
            # A bridge to the host (06xx) has no driver and does not stand in the way.
            harmless = other.passed or other.class_code.startswith("06") or other.address.slot in slots
            if inside and not harmless and other.address not in named:
                named.add(other.address)
                yield _shared(function, other, grouping, nodes)


def _shared(
    function: PlannedFunction, other: PlannedFunction, grouping: Grouping, nodes: Mapping[Address, Node]
) -> Finding:
    joins = grouping.between(function.address, other.address)
    held = bool(other.drivers)
    end = (
        f"while {other.drivers[0]} of the host holds {other.address}, VFIO says that the group is not viable "
        "and the guest does not start"
        if held
        else "that works only as long as no driver of the host takes it"
    )
    return Finding(
        code="DB504",
        severity=Severity.ERROR if held else Severity.WARNING,
        place=function.place,
        found=f"{other.address} shares the group of {function.address}, but is not passed through",
        why="; ".join([*dict.fromkeys(_because(join, nodes) for join in joins), end]),
        fix=_separate(function, other, joins),
        source=_VIABLE,
    )


def _because(join: Joined, nodes: Mapping[Address, Node]) -> str:
    at = nodes[join.at]
    if join.rule is Join.ALIAS:
        return f"{join.member} is behind the PCIe-to-PCI bridge {at.address}, whose address its DMA bears"
    if join.rule is Join.MULTIFUNCTION:
        return f"{join.member} and {at.address} are functions of one slot, and no ACS keeps them apart"
    if at.kind is Kind.UPSTREAM_PORT:
        return (
            f"the upstream port {at.address} above {join.member} is one of several functions of its slot, "
            "and no ACS keeps them apart"
        )
    return f"the {at.kind} {at.address} above {join.member} has no ACS"


def _separate(function: PlannedFunction, other: PlannedFunction, joins: Sequence[Joined]) -> str:
    """What parts two functions of a group, the best first."""
    ways = f"move {function.address} or {other.address} to a slot behind a port with ACS"
    if all(join.rule is Join.ALIAS for join in joins):
        return (
            f"{ways} (nothing separates what is behind one PCIe-to-PCI bridge), or add {other.address} to "
            "`passthrough`"
        )
    several = any(join.rule is Join.MULTIFUNCTION for join in joins)
    override = "downstream,multifunction" if several else "downstream"
    return (
        f"{ways}; or turn on ACS in the firmware's settings; or add {other.address} to `passthrough`; "
        f"or boot a kernel patched for pcie_acs_override={override}, which only claims isolation: "
        "the guest could then reach the other device by peer-to-peer DMA, and through it the host"
    )


RULES: tuple[Rule, ...] = (slot_incomplete, group_incomplete, groups_contradicted, group_shared)
