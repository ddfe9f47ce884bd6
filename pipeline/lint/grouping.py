"""DB5xx: IOMMU groups and what of them is passed through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.errors import Place
from pipeline.lint.finding import Finding, Rule, Severity
from pipeline.pci import Address
from pipeline.plan import Plan
from pipeline.plan.grouping import groups
from pipeline.plan.model import PlannedFunction
from pipeline.scenario import Loaded

_VIABLE = "kernel Documentation/driver-api/vfio.rst; drivers/iommu/iommu.c pci_device_group()"


def slot_incomplete(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB501: some functions of a card are passed through, others are not."""
    slots = {function.address.slot: function for function in reversed(plan.passed)}
    place = loaded.source.place(("passthrough",))
    for slot, function in slots.items():
        left_out = [one for one in plan.functions if one.address.slot == slot and not one.passed]
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
    predicted = groups({port.address: [one.address for one in port.functions] for port in plan.ports})
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


RULES: tuple[Rule, ...] = (slot_incomplete, group_incomplete, groups_contradicted)
