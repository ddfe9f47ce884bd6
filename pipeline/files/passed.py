"""Which functions a guest gets, by the domains or else by what vfio-pci is told."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pipeline.hardware.lspci import Device
from pipeline.pci import Address
from pipeline.plan.model import Written
from pipeline.setup.domain import Domain


def by_domains(domains: Sequence[Domain]) -> frozenset[Address]:
    """The sources of all hostdevs."""
    return frozenset(device.source for domain in domains for device in domain.host_devices)


def by_ids(
    devices: Collection[Device], ids: Sequence[Written[str]], overrides: Sequence[Address]
) -> frozenset[Address]:
    """The functions that the ids match, and those of `overrides`.

    An id that is none's own but the subsystem's of a function was meant for it.
    """
    found = set(overrides)
    for one in ids:
        pair = ":".join(one.value.lower().split(":")[:2])
        own = {device.address for device in devices if str(device.ids) == pair}
        found |= own or {device.address for device in devices if str(device.subsystem) == pair}
    return frozenset(found)
