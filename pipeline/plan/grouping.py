"""Predicts IOMMU groups from the topology, by the kernel's rules; pure.

Source: Linux 6.12, drivers/iommu/iommu.c pci_device_group(), drivers/pci/search.c pci_for_each_dma_alias(),
drivers/pci/pci.c pci_acs_enabled() and pci_acs_path_enabled(), drivers/pci/quirks.c pci_quirk_rciep_acs();
measured with Debian's 6.12 on QEMU's AMD-Vi and VT-d. Of the quirks for single devices those of multifunction
endpoints are known (facts/isolation.py). Not modelled: the others (ports of chipsets in pci_dev_acs_enabled[]: state
the `acs` that such a port has in effect; DMA aliases by id), aliases that firmware adds (IVRS), `pcie_acs_override=`
and `pci=config_acs=`. A series of patches of July 2025 ("Fix incorrect iommu_groups with PCIe ACS") makes the groups
of switches and of slots with mixed ACS larger; kernels that have it need another model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.facts.isolation import apart
from pipeline.pci import Address
from pipeline.plan.topology import Kind, Node, PlannedBridge, PlannedFunction, Topology

INTEL = 0x8086


class Rule(StrEnum):
    """Why a function gets the group of another."""

    ALIAS = "its DMA bears the address of a PCIe-to-PCI bridge"
    NO_ACS = "a port above it does not isolate"
    MULTIFUNCTION = "functions of one slot that do not isolate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """That `member` got the group of `to`, which had one before it.

    `at` is what makes it so: the bridge that does not isolate, or the function of the slot.
    """

    member: Address
    to: Address
    rule: Rule
    at: Address


@dataclass(frozen=True, kw_only=True, slots=True)
class Grouping:
    """The group of every bridge and function, and for each that did not open its group, how it came into it."""

    groups: Mapping[Address, frozenset[Address]]
    joined: Mapping[Address, Joined]

    def between(self, one: Address, other: Address) -> tuple[Joined, ...]:
        """The joins that bring two members of one group together, from `one` to `other`."""
        there, back = self._ancestry(one), self._ancestry(other)
        shared = {join.member for join in there} & {join.member for join in back}
        return (
            *(join for join in there if join.member not in shared),
            *reversed([join for join in back if join.member not in shared]),
        )

    def _ancestry(self, member: Address) -> list[Joined]:
        found = []
        while member in self.joined:
            found.append(self.joined[member])
            member = self.joined[member].to
        return found


def predict(topology: Topology) -> Grouping:
    """The groups of a board whose IOMMU is on.

    The kernel goes through the functions in the order in which it found them, each bus before those behind its
    bridges; whoever finds nobody to join opens a group.
    """
    mates = _slots(topology)
    opened: dict[Address, Address] = {}
    joined: dict[Address, Joined] = {}
    for node, above in _found(topology.nodes, ()):
        join = _join(node, above, mates, opened)
        opened[node.address] = opened[join.to] if join else node.address
        if join:
            joined[node.address] = join
    members: dict[Address, set[Address]] = {}
    for address, first in opened.items():
        members.setdefault(first, set()).add(address)
    return Grouping(
        groups={address: frozenset(members[first]) for address, first in opened.items()}, joined=joined
    )


def _found(
    nodes: Sequence[Node], above: tuple[PlannedBridge, ...]
) -> Iterator[tuple[Node, tuple[PlannedBridge, ...]]]:
    """Every node with the bridges above it, nearest first, as pci_scan_child_bus() adds them."""
    ordered = sorted(nodes, key=lambda node: node.address)
    for node in ordered:
        yield node, above
    for node in ordered:
        if isinstance(node, PlannedBridge):
            yield from _found(node.behind, (node, *above))


def _slots(topology: Topology) -> Mapping[tuple[int, int, int], Sequence[Node]]:
    slots: dict[tuple[int, int, int], list[Node]] = {}
    for node, _ in topology.walk():
        slots.setdefault(node.address.slot, []).append(node)
    return {slot: sorted(found, key=lambda node: node.address) for slot, found in slots.items()}


def _join(
    node: Node,
    above: tuple[PlannedBridge, ...],
    mates: Mapping[tuple[int, int, int], Sequence[Node]],
    opened: Mapping[Address, Address],
) -> Joined | None:
    # A bridge is found before what is behind it, so each of `above` is in a group.
    for bridge in above:
        if bridge.kind is Kind.PCI_BRIDGE:
            return Joined(member=node.address, to=bridge.address, rule=Rule.ALIAS, at=bridge.address)
    for bridge in above:
        if not _isolated(bridge, mates):
            return Joined(member=node.address, to=above[0].address, rule=Rule.NO_ACS, at=bridge.address)
    if not _isolated(node, mates):
        for mate in mates[node.address.slot]:
            if mate.address in opened and not _isolated(mate, mates):
                return Joined(member=node.address, to=mate.address, rule=Rule.MULTIFUNCTION, at=mate.address)
    return None


def _isolated(node: Node, mates: Mapping[tuple[int, int, int], Sequence[Node]]) -> bool:
    """Whether the kernel believes that nothing gets past the IOMMU at `node`: pci_acs_enabled()."""
    alone = len(mates[node.address.slot]) == 1
    match node.kind:
        case Kind.ROOT_PORT | Kind.DOWNSTREAM_PORT:
            return isinstance(node, PlannedBridge) and node.acs
        case Kind.PCI_BRIDGE | Kind.CONVENTIONAL:
            return False
        case Kind.INTEGRATED:
            # pci_quirk_rciep_acs(): Intel's integrated endpoints cannot reach each other.
            return alone or (isinstance(node, PlannedFunction) and node.ids.vendor == INTEL)
        case _:
            return alone or (isinstance(node, PlannedFunction) and apart(node.ids))
