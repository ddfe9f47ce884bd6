"""The board of a plan: bridges and functions as a tree that begins at bus 00."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import Place
from pipeline.pci import Address, IdPair
from pipeline.scenario.board import Bar


class Kind(StrEnum):
    """What the kernel takes a function for, by its PCI Express capability (PCI_EXP_TYPE_*)."""

    ROOT_PORT = "root port"
    UPSTREAM_PORT = "upstream port"
    DOWNSTREAM_PORT = "downstream port"
    PCI_BRIDGE = "PCIe-to-PCI bridge"
    ENDPOINT = "endpoint"
    INTEGRATED = "integrated endpoint"
    CONVENTIONAL = "conventional function"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedFunction:
    """A PCI function of the board that is no bridge, and what shall become of it.

    `class_code` has six hexadecimal digits. A `twin` stays on the host and has the ids of a function that is passed.
    """

    address: Address
    kind: Kind
    ids: IdPair
    subsystem: IdPair | None
    class_code: str
    revision: int
    name: str
    bars: tuple[Bar, ...]
    drivers: tuple[str, ...]
    passed: bool
    twin: bool
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedBridge:
    """A port or PCIe-to-PCI bridge with what is on the bus behind it, in the order of the scenario.

    `acs`: whether it has Access Control Services, which only root ports and downstream ports can have.
    """

    address: Address
    kind: Kind
    acs: bool
    ids: IdPair | None
    name: str
    behind: tuple[Node, ...]
    place: Place

    @property
    def bus(self) -> int:
        """The bus behind it."""
        return self.behind[0].address.bus


Node = PlannedBridge | PlannedFunction


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """What is on bus 00, in the order of the scenario; bridges hold what is behind them."""

    nodes: tuple[Node, ...]

    def walk(self) -> Iterator[tuple[Node, tuple[PlannedBridge, ...]]]:
        """Every node with the bridges above it, the nearest first; bridges before what is behind them."""
        yield from _walk(self.nodes, ())

    @property
    def functions(self) -> tuple[PlannedFunction, ...]:
        """Every function that is no bridge, in the order of the scenario."""
        return tuple(node for node, _ in self.walk() if isinstance(node, PlannedFunction))

    @property
    def bridges(self) -> tuple[PlannedBridge, ...]:
        """Every port and bridge, in the order of the scenario."""
        return tuple(node for node, _ in self.walk() if isinstance(node, PlannedBridge))


def _walk(
    nodes: tuple[Node, ...], above: tuple[PlannedBridge, ...]
) -> Iterator[tuple[Node, tuple[PlannedBridge, ...]]]:
    for node in nodes:
        yield node, above
        if isinstance(node, PlannedBridge):
            yield from _walk(node.behind, (node, *above))
