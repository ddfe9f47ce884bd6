"""The model of IOMMU groups: each rule by an example, and what holds for every board."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from pipeline.pci import Address
from pipeline.plan.grouping import Rule, predict
from tests.boards import Numbered, Slot, boards, plan_of


def fn(address: str, ids: str = "10de:1b80", class_code: str = "010802", **more: Any) -> dict[str, Any]:
    return {"address": address, "class": class_code, "id": ids, **more}


def bridge(address: str, kind: str, *behind: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"address": address, "bridge": kind, "functions": list(behind), **more}


def port(address: str, *behind: dict[str, Any], acs: bool = True) -> dict[str, Any]:
    return {"address": address, "acs": acs, "functions": list(behind)}


def groups(root_ports: list[dict[str, Any]], integrated: list[dict[str, Any]] | None = None) -> set[str]:
    board = {"root_ports": root_ports, "integrated": integrated or []}
    found = predict(plan_of(board).topology).groups
    return {" ".join(str(member) for member in sorted(group)) for group in found.values()}


def switch(*, acs: bool) -> dict[str, Any]:
    ports = [bridge(f"02:0{n}.0", "downstream-port", fn(f"0{n + 3}:00.0"), acs=acs) for n in (0, 1)]
    return bridge("01:00.0", "upstream-port", *ports)


@pytest.mark.parametrize(
    ("root_ports", "integrated", "expected"),
    [
        pytest.param(
            [port("00:01.0", fn("01:00.0"), fn("01:00.1")), port("00:02.0", fn("02:00.0"))],
            [],
            {"00:01.0", "01:00.0 01:00.1", "00:02.0", "02:00.0"},
            id="root-ports-with-acs",
        ),
        pytest.param(
            [port("00:01.0", fn("01:00.0", ids="8086:1521"), fn("01:00.1", ids="8086:1521"))],
            [],
            {"00:01.0", "01:00.0", "01:00.1"},
            id="functions-that-their-maker-says-are-apart",
        ),
        pytest.param(
            [port("00:01.0", fn("01:00.0", ids="8086:1521"), fn("01:00.1"), fn("01:00.2"))],
            [],
            {"00:01.0", "01:00.0", "01:00.1 01:00.2"},
            id="one-of-several-functions-is-apart",
        ),
        pytest.param(
            [port("00:01.0", fn("01:00.0"), acs=False), port("00:02.0", fn("02:00.0"), acs=False)],
            [],
            {"00:01.0 01:00.0", "00:02.0 02:00.0"},
            id="root-ports-without-acs-in-slots-of-their-own",
        ),
        pytest.param(
            [port("00:01.0", fn("01:00.0"), acs=False), port("00:01.1", fn("02:00.0"), acs=False)],
            [],
            {"00:01.0 00:01.1 01:00.0 02:00.0"},
            id="root-ports-without-acs-in-one-slot",
        ),
        pytest.param(
            [port("00:01.0", fn("01:00.0")), port("00:01.1", fn("02:00.0"), acs=False)],
            [fn("00:01.2", conventional=True)],
            {"00:01.0", "01:00.0", "00:01.1 00:01.2 02:00.0"},
            id="a-port-with-acs-beside-those-without",
        ),
        pytest.param(
            [port("00:01.0", switch(acs=False))],
            [],
            {"00:01.0", "01:00.0", "02:00.0 03:00.0", "02:01.0 04:00.0"},
            id="switch-whose-ports-do-not-isolate",
        ),
        pytest.param(
            [port("00:01.0", switch(acs=True))],
            [],
            {"00:01.0", "01:00.0", "02:00.0", "03:00.0", "02:01.0", "04:00.0"},
            id="switch-whose-ports-isolate",
        ),
        pytest.param(
            [port("00:01.0", switch(acs=True), acs=False)],
            [],
            {"00:01.0 01:00.0 02:00.0 02:01.0 03:00.0 04:00.0"},
            id="switch-below-a-root-port-that-does-not-isolate",
        ),
        pytest.param(
            [port("00:01.0", switch(acs=True), fn("01:00.1"))],
            [],
            {"00:01.0", "01:00.0 01:00.1 02:00.0 02:01.0 03:00.0 04:00.0"},
            id="upstream-port-beside-another-function",
        ),
        pytest.param(
            [port("00:01.0", bridge("01:00.0", "pcie-to-pci", fn("02:00.0"), fn("02:01.0")))],
            [],
            {"00:01.0", "01:00.0 02:00.0 02:01.0"},
            id="pcie-to-pci",
        ),
        pytest.param(
            [],
            [bridge("00:05.0", "pcie-to-pci", fn("01:01.0")), fn("00:06.0")],
            {"00:05.0 01:01.0", "00:06.0"},
            id="pcie-to-pci-on-bus-0",
        ),
        pytest.param(
            [],
            [fn("00:05.0"), fn("00:05.1"), fn("00:06.0", "8086:15b8"), fn("00:06.1", "8086:15b9")],
            {"00:05.0 00:05.1", "00:06.0", "00:06.1"},
            id="integrated-endpoints-and-intel-s",
        ),
        pytest.param(
            [],
            [fn("00:14.0", "8086:a2af", conventional=True), fn("00:14.2", "8086:a2b1", conventional=True)],
            {"00:14.0 00:14.2"},
            id="conventional-functions-of-intel",
        ),
    ],
)
def test_groups(root_ports: list[Any], integrated: list[Any], expected: set[str]) -> None:
    assert groups(root_ports, integrated) == expected


def test_how_two_members_came_together() -> None:
    one, other = (port(f"00:01.{n}", fn(f"0{n + 1}:00.0"), acs=False) for n in (0, 1))
    grouping = predict(plan_of({"root_ports": [one, other], "integrated": []}).topology)
    joins = grouping.between(Address.parse("01:00.0"), Address.parse("02:00.0"))
    assert [(str(join.member), str(join.to), join.rule) for join in joins] == [
        ("01:00.0", "00:01.0", Rule.NO_ACS),
        ("00:01.1", "00:01.0", Rule.MULTIFUNCTION),
        ("02:00.0", "00:01.1", Rule.NO_ACS),
    ]
    assert grouping.between(Address.parse("00:01.0"), Address.parse("00:01.0")) == ()


@given(boards(downstream_acs=True))
@settings(max_examples=60)
def test_every_board(shape: tuple[Slot, ...]) -> None:
    topology = plan_of(Numbered().scenario(shape)).topology
    grouping = predict(topology)
    nodes = {node.address: above for node, above in topology.walk()}
    assert set(grouping.groups) == set(nodes)
    for address, members in grouping.groups.items():
        assert address in members
        assert all(grouping.groups[member] == members for member in members)
        # One member opened the group; every other came in by a join, and the joins lead to it.
        assert len([member for member in members if member not in grouping.joined]) == 1
        join = grouping.joined.get(address)
        if join:
            assert join.to in members
            above = {bridge.address for bridge in nodes[address]}
            assert (join.to in above) == (join.rule is not Rule.MULTIFUNCTION)
        for other in members:
            path = grouping.between(address, other)
            ends = {address} if not path else {end for join in path for end in (join.member, join.to)}
            assert {address, other} <= ends
