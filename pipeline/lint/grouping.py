"""DB5xx: IOMMU groups and what of them is passed through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.pci import Address
from pipeline.plan.grouping import Grouping, Joined, predict
from pipeline.plan.grouping import Rule as Join
from pipeline.plan.topology import Kind, Node
from pipeline.setup import Setup
from pipeline.setup.model import Function, Origin

_VIABLE = "kernel Documentation/driver-api/vfio.rst; drivers/iommu/iommu.c pci_device_group()"


@rule("DB501", holds="every kernel with VFIO", source=_VIABLE)
def slot_incomplete(setup: Setup) -> Iterator[Problem]:
    """Some functions of a card are passed through, others are not.

    The functions of a slot are nearly always one IOMMU group, and a group goes to one guest whole: while a driver of
    the host holds one of them, VFIO says that the group is not viable.
    """
    board = setup.board
    if board is None:
        return
    slots = {function.address.slot: function for function in reversed(board.passed)}
    for slot, function in slots.items():
        # Where the groups are not known, those of a slot are taken for one, as they are without ACS.
        group = board.group(function.address) if board.groups else None
        left_out = [
            one
            for one in board.functions
            if one.address.slot == slot and not one.passed and (group is None or one.address in group)
        ]
        yield from _left_out(setup, left_out, f"is in the slot of {function.address}")


@rule("DB502", holds="every kernel with VFIO", source=_VIABLE)
def group_incomplete(setup: Setup) -> Iterator[Problem]:
    """Some functions of a group that the owner states are passed through, others are not.

    A group goes to one guest whole.
    """
    board = setup.board
    if board is None:
        return
    slots = {function.address.slot for function in board.passed}
    for stated in board.stated:
        inside = [one for one in board.passed if one.address in stated.value]
        if inside:
            left_out = [
                one
                for one in board.functions
                if one.address in stated.value and not one.passed and one.address.slot not in slots
            ]
            yield from _left_out(setup, left_out, f"is in the group of {inside[0].address}")


def _left_out(setup: Setup, functions: Sequence[Function], where: str) -> Iterator[Problem]:
    for function in functions:
        held = bool(function.drivers)
        yield Problem(
            severity=Severity.ERROR if held else Severity.WARNING,
            place=setup.passed_where,
            found=f"{function.address} {where}, but is not passed through",
            why=f"a group goes to one guest whole: while {function.drivers[0]} of the host holds "
            f"{function.address}, VFIO says that the group is not viable and the guest does not start"
            if held
            else "a group goes to one guest whole; it works only as long as no driver of the host takes it",
            fix=_pass_too(setup, function),
        )


def _pass_too(setup: Setup, function: Function) -> str:
    if setup.origin is Origin.SCENARIO:
        return f"add {function.address} to `passthrough`"
    return f"pass {function.address} through too: its id {function.ids} for vfio-pci, and a hostdev in the domain"


@rule("DB503", holds="every kernel with VFIO", source=_VIABLE)
def groups_contradicted(setup: Setup) -> Iterator[Problem]:
    """The groups that the owner states are not those that the board has by the kernel's rules.

    Either the board is described wrongly, or the groups were read with other slots, firmware settings or an ACS
    override.
    """
    board = setup.board
    if board is None or board.topology is None:
        return
    predicted = predict(board.topology).groups
    for stated in board.stated:
        members = stated.value
        unknown = [member for member in members if member not in predicted]
        if unknown:
            why = f"{', '.join(map(str, unknown))} is not on the board, so it is in no group"
        elif predicted[members[0]] == frozenset(members):
            continue
        else:
            likely = {predicted[member] for member in members}
            texts = sorted(", ".join(str(one) for one in sorted(group)) for group in likely)
            why = "by the kernel's rules this board has " + " | ".join(texts)
        yield Problem(
            severity=Severity.WARNING,
            place=stated.place,
            found=f"the group {', '.join(map(str, members))} is not one of this board",
            why=why,
            fix="correct expect.groups, or describe the board as it is; `verify` proves which is right",
        )


@rule("DB504", holds="every kernel with VFIO; kernels from 2025 on may make larger groups", source=_VIABLE)
def group_shared(setup: Setup) -> Iterator[Problem]:
    """The group of a passed-through function also holds functions that stay.

    What ends in one group cannot be kept apart by the IOMMU: the port above has no ACS, or a PCIe-to-PCI bridge gives
    everything behind it one requester id. Move one of them to another slot, turn on ACS in the firmware's settings, or
    pass the other through too. `pcie_acs_override=` of a patched kernel only claims isolation.
    """
    board = setup.board
    if board is None or board.groups is None:
        return
    stated = {address for group in board.stated for address in group.value}
    grouping = predict(board.topology) if board.topology else None
    slots = {function.address.slot for function in board.passed}
    named: set[Address] = set()
    for function in board.passed:
        if function.address in stated:
            continue  # the owner knows better; DB502 and DB503 compare
        group = board.group(function.address)
        for other in board.functions:
            inside = other.address in group
            # A bridge to the host (06xx) has no driver and does not stand in the way.
            harmless = other.passed or other.class_code.startswith("06") or other.address.slot in slots
            if inside and not harmless and other.address not in named:
                named.add(other.address)
                yield _shared(setup, function, other, grouping)


def _shared(setup: Setup, function: Function, other: Function, grouping: Grouping | None) -> Problem:
    board = setup.board
    assert board is not None
    joins = grouping.between(function.address, other.address) if grouping else ()
    nodes = {node.address: node for node, _ in board.topology.walk()} if board.topology else {}
    held = bool(other.drivers)
    end = (
        f"while {other.drivers[0]} of the host holds {other.address}, VFIO says that the group is not viable "
        "and the guest does not start"
        if held
        else "that works only as long as no driver of the host takes it"
    )
    return Problem(
        severity=Severity.ERROR if held else Severity.WARNING,
        place=function.place,
        found=f"{other.address} shares the group of {function.address}, but is not passed through",
        why="; ".join([*dict.fromkeys(_because(join, nodes) for join in joins), end]),
        fix=_separate(setup, function, other, joins),
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


def _separate(setup: Setup, function: Function, other: Function, joins: Sequence[Joined]) -> str:
    """What parts two functions of a group, the best first."""
    too = _pass_too(setup, other)
    ways = f"move {function.address} or {other.address} to a slot behind a port with ACS"
    if joins and all(join.rule is Join.ALIAS for join in joins):
        return f"{ways} (nothing separates what is behind one PCIe-to-PCI bridge), or {too}"
    several = any(join.rule is Join.MULTIFUNCTION for join in joins)
    override = "downstream,multifunction" if several else "downstream"
    return (
        f"{ways}; or turn on ACS in the firmware's settings; or {too}; "
        f"or boot a kernel patched for pcie_acs_override={override}, which only claims isolation: "
        "the guest could then reach the other device by peer-to-peer DMA, and through it the host"
    )


RULES: tuple[Rule, ...] = (slot_incomplete, group_incomplete, groups_contradicted, group_shared)
