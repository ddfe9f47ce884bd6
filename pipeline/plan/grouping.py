"""Predicts IOMMU groups from the topology, by the kernel's rules.

Source: drivers/iommu/iommu.c pci_device_group(), include/linux/pci-acs; measured on QEMU's AMD-Vi and VT-d.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.pci import Address


def groups(
    ports: Mapping[Address, Iterable[Address]],
) -> dict[Address, frozenset[Address]]:
    """The group of every root port and of every function behind one.

    A root port with ACS isolates: it is alone in its group. Functions of one slot share a group unless
    they have ACS of their own, which cards have not.
    """
    found: dict[Address, frozenset[Address]] = {}
    for port, behind in ports.items():
        found[port] = frozenset({port})
        members = frozenset(behind)
        for slot in {member.slot for member in members}:
            together = frozenset(member for member in members if member.slot == slot)
            found.update(dict.fromkeys(together, together))
    return found
