"""The QEMU releases of a matrix, from the lab's store: what the matrix needs to know of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.lab import releases
from pipeline.lab.cache import Progress
from pipeline.matrix.machine_types import ReleaseTypes, of
from pipeline.matrix.selection import Release

# Releases by name (none: the installed one), prepared if need be.
Stock = Callable[[Sequence[str], Progress], tuple[ReleaseTypes, ...]]


def stock(names: Sequence[str], progress: Progress) -> tuple[ReleaseTypes, ...]:
    """The machine types of each release, as it tells them. Raises BadInput and LabFault as the store does."""
    found = releases.find(names, progress)
    return tuple(of(one.name, one.machines(), version=one.qemu.version) for one in found)


def chosen(types: ReleaseTypes) -> Release:
    """The same for choosing cells."""
    return Release(
        name=types.qemu,
        version=types.number,
        machines=tuple(one.name for one in types.types),
        deprecated=tuple(one.name for one in types.types if one.deprecated),
    )
