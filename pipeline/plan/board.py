"""The scenario's board as the plan's topology: addresses parsed, kinds and drivers decided; pure."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.facts import drivers
from pipeline.pci import Address, IdPair
from pipeline.plan.topology import Kind, Node, PlannedBridge, PlannedFunction, Topology
from pipeline.scenario.board import Bridge, Function, RootPort
from pipeline.scenario.model import Scenario
from pipeline.scenario.source import Path, Source

_KINDS = {
    "upstream-port": Kind.UPSTREAM_PORT,
    "downstream-port": Kind.DOWNSTREAM_PORT,
    "pcie-to-pci": Kind.PCI_BRIDGE,
}


def plan_topology(scenario: Scenario, source: Source) -> Topology:
    """The board of `scenario`, with the place that each part of it was written at."""
    board = scenario.board
    return Topology(
        nodes=(
            *_nodes(board.root_ports, ("board", "root_ports"), None, scenario, source),
            *_nodes(board.integrated, ("board", "integrated"), None, scenario, source),
        )
    )


def _nodes(
    entries: Sequence[RootPort | Bridge | Function],
    path: Path,
    above: Kind | None,
    scenario: Scenario,
    source: Source,
) -> tuple[Node, ...]:
    return tuple(
        _function(entry, (*path, index), above, scenario, source)
        if isinstance(entry, Function)
        else _bridge(entry, (*path, index), scenario, source)
        for index, entry in enumerate(entries)
    )


def _bridge(bridge: RootPort | Bridge, path: Path, scenario: Scenario, source: Source) -> PlannedBridge:
    kind = Kind.ROOT_PORT if isinstance(bridge, RootPort) else _KINDS[bridge.bridge]
    return PlannedBridge(
        address=Address.parse(bridge.address),
        kind=kind,
        acs=bool(bridge.acs),
        ids=IdPair.parse(bridge.id) if bridge.id else None,
        name=bridge.name,
        behind=_nodes(bridge.functions, (*path, "functions"), kind, scenario, source),
        place=source.place((*path, "address")),
    )


def _function(
    function: Function, path: Path, above: Kind | None, scenario: Scenario, source: Source
) -> PlannedFunction:
    ids = IdPair.parse(function.id)
    passed = function.address in scenario.passthrough
    place = (
        source.place(("passthrough", scenario.passthrough.index(function.address)))
        if passed
        else source.place((*path, "address"))
    )
    known = function.drivers if function.drivers is not None else drivers.competing(ids, function.class_)
    return PlannedFunction(
        address=Address.parse(function.address),
        kind=_kind(function, above),
        ids=ids,
        subsystem=IdPair.parse(function.subsystem) if function.subsystem else None,
        class_code=function.class_.ljust(6, "0"),
        revision=int(function.revision, 16),
        name=function.name,
        bars=function.bars,
        drivers=known,
        passed=passed,
        twin=not passed and function.id in _passed_ids(scenario),
        place=place,
    )


def _passed_ids(scenario: Scenario) -> frozenset[str]:
    return frozenset(one.id for one in scenario.functions if one.address in scenario.passthrough)


def _kind(function: Function, above: Kind | None) -> Kind:
    if above is Kind.PCI_BRIDGE or function.conventional:
        return Kind.CONVENTIONAL
    return Kind.INTEGRATED if above is None else Kind.ENDPOINT
