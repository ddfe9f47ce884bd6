"""What has to hold on the board: who can be behind whom, and which bus numbers firmware can give.

Firmware numbers buses depth first: a bridge gets the next free number, then all behind it theirs, before the
next bridge of its bus, in the order of their addresses (SeaBIOS src/fw/pciinit.c pci_bios_init_bus_rec(),
edk2 PciBusDxe PciScanBus(); ran with both).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.errors import BadInput
from pipeline.pci import Address
from pipeline.scenario.board import Board, Bridge, Function, Placed, RootPort
from pipeline.scenario.source import Source

MOST_ENTRIES = 96

_PORTS = {"root port", "downstream port"}
_BEHIND = {
    "upstream port": "one bus of the switch's own, with its downstream ports",
    "PCIe-to-PCI bridge": "one bus other than 00, with functions that are no bridges",
    **dict.fromkeys(_PORTS, "one bus other than 00 with device 00 and its functions"),
}


@dataclass(frozen=True, slots=True)
class _Bus:
    """A bus of the board: the bridge above it (None: bus 00) and what is on it."""

    above: Placed | None
    entries: Sequence[Placed]

    @property
    def number(self) -> int:
        return _address(self.entries[0]).bus if self.above else 0


def check_topology(board: Board, source: Source) -> None:
    """Raise BadInput where entries cannot be where the scenario puts them. No address is on the board twice."""
    placed = list(board.placed())
    if len(placed) > MOST_ENTRIES:
        hint = f"at most {MOST_ENTRIES}; leave out what has nothing to do with what is passed through"
        raise BadInput(
            f"{len(placed)} ports and functions are too many", place=source.place(("board",)), hint=hint
        )
    buses = _buses(placed)
    for bus in buses:
        for entry in bus.entries:
            _check_entry(entry, bus, source)
        _check_heads(bus, source)
    _check_apart(buses, source)
    _check_order(buses, source)


def _address(placed: Placed) -> Address:
    return Address.parse(placed.entry.address)


def _buses(placed: Sequence[Placed]) -> list[_Bus]:
    on: dict[int, list[Placed]] = defaultdict(list)
    for one in placed:
        on[id(one.behind)].append(one)
    found = [_Bus(None, on[id(None)])]
    found += [_Bus(one, on[id(one.entry)]) for one in placed if not isinstance(one.entry, Function)]
    return found


def _check_entry(placed: Placed, bus: _Bus, source: Source) -> None:
    entry, above = placed.entry, placed.behind
    address = _address(placed)
    place = source.place((*placed.path, "address"))
    if above is None:
        if address.domain or address.bus:
            hint = (
                "root ports are on bus 00"
                if isinstance(entry, RootPort)
                else "what is behind a port belongs into the `functions` of the port"
            )
            raise BadInput(f"{address} is not on bus 00", place=place, hint=hint)
        if isinstance(entry, Bridge) and entry.bridge != "pcie-to-pci":
            raise BadInput(
                f"{address} cannot be on bus 00",
                place=place,
                hint=f"the {entry.kind} of a switch is behind another port",
            )
        return
    reason = _misplaced(entry, above)
    device_given = above.kind in _PORTS and address.device
    if reason or address.domain or address.bus != bus.number or not address.bus or device_given:
        article = "an" if above.kind[0] == "u" else "a"
        raise BadInput(
            f"{address} cannot be behind the {above.kind} {above.address}",
            place=place,
            hint=reason or f"behind {article} {above.kind} is {_BEHIND[above.kind]}",
        )


def _misplaced(entry: RootPort | Bridge | Function, above: RootPort | Bridge) -> str:
    """Why an entry of this kind is not found behind `above`, empty where it is."""
    if above.kind == "upstream port":
        return (
            "" if _kind(entry) == "downstream port" else f"behind an upstream port is {_BEHIND[above.kind]}"
        )
    if _kind(entry) == "downstream port":
        return "a downstream port is behind the upstream port of its switch"
    if above.kind == "PCIe-to-PCI bridge":
        return "" if isinstance(entry, Function) else f"behind a PCIe-to-PCI bridge is {_BEHIND[above.kind]}"
    if isinstance(entry, Function) and entry.conventional:
        return "behind a PCI Express port nothing is conventional; a PCIe-to-PCI bridge has such functions"
    return ""


def _kind(entry: RootPort | Bridge | Function) -> str:
    """What an entry is, in words."""
    return "function" if isinstance(entry, Function) else entry.kind


def _check_heads(bus: _Bus, source: Source) -> None:
    """Every slot has a function 0; on bus 00 it may be unwritten where it cannot matter to any group."""
    slots: dict[tuple[int, int, int], list[Placed]] = defaultdict(list)
    for placed in bus.entries:
        slots[_address(placed).slot].append(placed)
    for mates in slots.values():
        first = mates[0]
        if not all(_address(placed).function for placed in mates):
            continue
        isolated = all(isinstance(one.entry, RootPort) and one.entry.acs for one in mates)
        if bus.above is None and isolated:
            continue
        hint = "without a function 0 nothing looks for the others"
        if bus.above is None:
            hint += "; write it under `integrated` (AMD's is a dummy host bridge of class 0600)"
        place = source.place((*first.path, "address"))
        raise BadInput(f"the slot of {_address(first)} has no function 0", place=place, hint=hint)


def _check_apart(buses: Sequence[_Bus], source: Source) -> None:
    """No bus is behind two bridges, none behind itself."""
    seen: dict[int, Placed] = {}
    for bus in buses:
        if bus.above is None:
            continue
        place = source.place((*bus.entries[0].path, "address"))
        own = _address(bus.above)
        if own.bus == bus.number:
            hint = f"{own} itself is on bus {own.bus:02x}; behind it is another"
            raise BadInput(f"bus {bus.number:02x} is in a loop of bridges", place=place, hint=hint)
        if bus.number in seen:
            hint = f"it is behind {_address(seen[bus.number])}"
            raise BadInput(f"bus {bus.number:02x} is behind two bridges", place=place, hint=hint)
        seen[bus.number] = bus.above


def _check_order(buses: Sequence[_Bus], source: Source) -> None:
    last, before = 0, "00:00.0"
    for bus in _depth_first(buses[0], {id(bus.above.entry): bus for bus in buses if bus.above}):
        assert bus.above is not None
        address = _address(bus.above)
        if bus.number < last:
            raise BadInput(
                f"bus {bus.number:02x} cannot be behind {address}",
                place=source.place((*bus.entries[0].path, "address")),
                hint="firmware gives out bus numbers depth first, in the order of the bridges' addresses: "
                f"{before} has had {last:02x} before",
            )
        last, before = bus.number, str(address)


def _depth_first(bus: _Bus, behind: dict[int, _Bus]) -> Iterator[_Bus]:
    """The buses below `bus`, in the order in which firmware numbers them."""
    for placed in sorted(bus.entries, key=_address):
        below = behind.get(id(placed.entry))
        if below:
            yield below
            yield from _depth_first(below, behind)
