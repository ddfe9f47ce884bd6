"""Small random boards: one strategy for the tests of the model and for those that boot them.

A shape says what is behind what; `Numbered` gives it addresses, with the bus numbers that firmware gives out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st

from pipeline.errors import Place
from pipeline.plan import Plan, resolve
from pipeline.scenario import loads
from pipeline.scenario.document import parse, plain
from pipeline.scenario.loader import SHIPPED

# Classes for which QEMU has a model without I/O BAR, so that a hundred of them fit behind bridges.
PCIE_CLASSES = ("010802", "0c0330", "040300")
CONVENTIONAL_CLASSES = ("0c0330", "040300")
INTEGRATED = (
    ("0c0330", "1022:15e0", False),
    ("040300", "1022:15e3", False),
    ("020000", "8086:15b8", False),
    ("020000", "8086:15b8", False),
    ("0c0330", "8086:a2af", True),
    ("060000", "1022:1452", True),
)


@dataclass(frozen=True)
class Leaf:
    """A function that is no bridge."""

    class_code: str
    ids: str
    conventional: bool = False


@dataclass(frozen=True)
class Slot:
    """Functions of one device with their numbers; `gap` device numbers, and buses, are left out before it."""

    functions: tuple[tuple[int, Leaf | Branch], ...]
    gap: int = 0


@dataclass(frozen=True)
class Branch:
    """A bridge with the slots behind it; `kind` as in a scenario, `root-port` for a root port."""

    kind: str
    acs: bool | None
    slots: tuple[Slot, ...]


def numbers(count: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Function numbers of a slot, 0 among them."""
    others = st.lists(st.integers(1, 7), min_size=count - 1, max_size=count - 1, unique=True)
    return others.map(lambda found: (0, *sorted(found)))


@st.composite
def slots(draw: st.DrawFn, members: st.SearchStrategy[Leaf | Branch], most: int, gaps: int = 0) -> Slot:
    found = draw(st.lists(members, min_size=1, max_size=most))
    places = draw(numbers(len(found)))
    return Slot(functions=tuple(zip(places, found, strict=True)), gap=draw(st.integers(0, gaps)))


ENDPOINTS = st.builds(Leaf, st.sampled_from(PCIE_CLASSES), st.just("10de:1b80"))
CONVENTIONAL = st.builds(Leaf, st.sampled_from(CONVENTIONAL_CLASSES), st.just("1102:0012"))
ON_ROOT = st.sampled_from([Leaf(*one) for one in INTEGRATED])


def pci_bridges() -> st.SearchStrategy[Branch]:
    behind = st.lists(slots(CONVENTIONAL, 2, 2), min_size=1, max_size=2).map(tuple)
    return st.builds(Branch, st.just("pcie-to-pci"), st.none(), behind)


def switches(depth: int, acs: st.SearchStrategy[bool]) -> st.SearchStrategy[Branch]:
    ports = st.builds(Branch, st.just("downstream-port"), acs, st.tuples(behind_port(depth - 1, acs)))
    behind = st.lists(slots(ports, 2, 1), min_size=1, max_size=3).map(tuple)
    return st.builds(Branch, st.just("upstream-port"), st.none(), behind)


def behind_port(depth: int, acs: st.SearchStrategy[bool]) -> st.SearchStrategy[Slot]:
    members: list[st.SearchStrategy[Leaf | Branch]] = [ENDPOINTS, ENDPOINTS, pci_bridges()]
    if depth:
        members.append(switches(depth, acs))
    return slots(st.one_of(members), 3)


def boards(*, downstream_acs: bool) -> st.SearchStrategy[tuple[Slot, ...]]:
    """One or two slots of bus 00; `downstream_acs`: also ports that QEMU cannot imitate."""
    acs = st.booleans() if downstream_acs else st.just(False)
    root_ports = st.builds(
        Branch, st.just("root-port"), st.booleans(), st.tuples(behind_port(2 if downstream_acs else 1, acs))
    )
    on_root = st.one_of(root_ports, root_ports, root_ports, ON_ROOT, ON_ROOT, pci_bridges())
    found = st.lists(slots(on_root, 3, 1), min_size=1, max_size=2).map(tuple)
    return found.filter(lambda shape: 2 <= size(shape) <= 24)


def size(shape: tuple[Slot, ...]) -> int:
    """How many ports and functions."""
    members = [member for slot in shape for _, member in slot.functions]
    return len(members) + sum(size(one.slots) for one in members if isinstance(one, Branch))


@dataclass
class Numbered:
    """Gives addresses to shapes one after the other: `device` and `bus` are the last ones given."""

    device: int = 0
    bus: int = 0

    def scenario(self, shape: tuple[Slot, ...]) -> dict[str, Any]:
        """The `board` of a scenario."""
        entries = []
        for slot in shape:
            self.device += 1 + slot.gap
            self.bus += slot.gap
            entries += self._slot(slot, 0, self.device)
        # The entries of bus 00 are numbered in the order of their addresses.
        ports = [one for one in entries if one.get("bridge") == "root-port"]
        return {
            "root_ports": [{k: v for k, v in port.items() if k != "bridge"} for port in ports],
            "integrated": [one for one in entries if one not in ports],
        }

    def _slot(self, slot: Slot, bus: int, device: int) -> list[dict[str, Any]]:
        found = []
        for number, member in slot.functions:
            address = f"{bus:02x}:{device:02x}.{number}"
            if isinstance(member, Leaf):
                found.append({"address": address, "class": member.class_code, "id": member.ids})
                if member.conventional:
                    found[-1]["conventional"] = True
                continue
            self.bus += 1
            below, at, behind = self.bus, -1, []
            for inner in member.slots:
                at += 1 + inner.gap
                # Only a switch has room for spare ports, which take the numbers left out.
                self.bus += inner.gap if member.kind == "upstream-port" else 0
                behind += self._slot(inner, below, at)
            entry: dict[str, Any] = {"address": address, "bridge": member.kind, "functions": behind}
            if member.acs is not None:
                entry["acs"] = member.acs
            found.append(entry)
        return found


@cache
def _rest() -> dict[str, Any]:
    text = (SHIPPED / "rx560.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = plain(parse(text, Place(file="rx560.yaml"), what="scenario"))
    return found


def leaves(board: dict[str, Any]) -> list[str]:
    """The addresses of the functions that are no bridges."""
    found: list[str] = []
    todo = [*board["root_ports"], *board["integrated"]]
    while todo:
        entry = todo.pop(0)
        if "functions" in entry:
            todo += entry["functions"]
        else:
            found.append(entry["address"])
    return found


def text_of(board: dict[str, Any], *passthrough: str) -> str:
    """A scenario with this board, as text; JSON is YAML."""
    return json.dumps({**_rest(), "board": board, "passthrough": list(passthrough) or leaves(board)[:1]})


def plan_of(board: dict[str, Any], *passthrough: str) -> Plan:
    """The plan of a scenario with this board."""
    return resolve(loads(text_of(board, *passthrough), file="board.yaml"))
