"""The QEMU releases of a matrix, from the lab's store: what the matrix needs to know of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.lab import releases
from pipeline.lab.cache import Progress
from pipeline.matrix.machine_types import MachineType, ReleaseTypes
from pipeline.matrix.selection import Release

# Releases by name (none: the installed one), prepared if need be.
Stock = Callable[[Sequence[str], Progress], tuple[ReleaseTypes, ...]]


def stock(names: Sequence[str], progress: Progress) -> tuple[ReleaseTypes, ...]:
    """The machine types of each release, as it tells them. Raises BadInput and LabFault as the store does."""
    return tuple(_types(one) for one in releases.find(names, progress))


def chosen(types: ReleaseTypes) -> Release:
    """The same for choosing cells."""
    return Release(
        name=types.qemu,
        version=types.number,
        machines=tuple(one.name for one in types.types),
        deprecated=tuple(one.name for one in types.types if one.deprecated),
    )


def _types(one: releases.Release) -> ReleaseTypes:
    return ReleaseTypes(
        qemu=one.name,
        version=one.qemu.version,
        types=tuple(
            MachineType(name=each.name, alias=each.alias, deprecated=each.deprecated, compat=each.compat)
            for each in one.machines()
        ),
    )
