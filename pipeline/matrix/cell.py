"""A cell of the matrix: one machine type on one QEMU release, in one lane."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Lane(Enum):
    """How a cell is run."""

    FAST = "fast"
    """The domain boots at L0; vfio-pci and the owner's host have no part in it."""
    NESTED = "nested"
    """The QEMU under test runs in L1 and gets the functions from vfio-pci, as on the owner's host."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Cell:
    """`qemu` is a release of the store such as `10.0`, `machine` a machine type such as `pc-q35-9.2`."""

    qemu: str
    machine: str
    lane: Lane

    @property
    def name(self) -> str:
        """Unique in a matrix, and fit for a file's name."""
        return f"{self.lane.value}-{self.qemu}-{self.machine}"
