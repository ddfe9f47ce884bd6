"""What has to agree between the parts of a scenario: addresses, and whatever names one."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import BadInput
from pipeline.pci import Address
from pipeline.scenario.model import HostDevice, RootPort, Scenario
from pipeline.scenario.source import Path, Source


def check_references(scenario: Scenario, source: Source) -> None:
    """Raise BadInput where addresses clash or name nothing."""
    _check_unique(scenario, source)
    buses: dict[tuple[int, int], str] = {}
    for index, port in enumerate(scenario.board.root_ports):
        _check_port(port, ("board", "root_ports", index), source, buses)
    behind = [function.address for function in scenario.functions]
    for index, address in enumerate(scenario.passthrough):
        place = source.place(("passthrough", index))
        if address not in behind:
            hint = f"there are: {', '.join(behind)}"
            raise BadInput(f"{address} is not a function of the board", place=place, hint=hint)
        if address in scenario.passthrough[:index]:
            raise BadInput(f"{address} is passed through twice", place=place)
    _check_once(((p, d.source) for p, d in _devices(scenario)), "is a source of two host_devices", source)
    _check_once(_stated(scenario), "is in two places of expect.groups", source)


def _devices(scenario: Scenario) -> Iterator[tuple[Path, HostDevice]]:
    for index, device in enumerate(scenario.guest.host_devices or ()):
        yield ("guest", "host_devices", index, "source"), device


def _stated(scenario: Scenario) -> Iterator[tuple[Path, str]]:
    for index, group in enumerate(scenario.expect.groups or ()):
        for member, address in enumerate(group):
            yield ("expect", "groups", index, member), address


def _addresses(scenario: Scenario) -> Iterator[tuple[Path, str]]:
    for p, port in enumerate(scenario.board.root_ports):
        path: Path = ("board", "root_ports", p)
        yield (*path, "address"), port.address
        for f, function in enumerate(port.functions):
            yield (*path, "functions", f, "address"), function.address


def _check_unique(scenario: Scenario, source: Source) -> None:
    _check_once(_addresses(scenario), "is on the board twice", source)


def _check_once(named: Iterator[tuple[Path, str]], complaint: str, source: Source) -> None:
    seen: dict[str, Path] = {}
    for path, address in named:
        if address in seen:
            first = source.place(seen[address])
            raise BadInput(f"{address} {complaint}", place=source.place(path), hint=f"first at {first}")
        seen[address] = path


def _check_port(port: RootPort, path: Path, source: Source, buses: dict[tuple[int, int], str]) -> None:
    """A root port is on bus 00; behind it is one bus of its own with one device, which has a function 0."""
    if Address.parse(port.address).bus:
        place = source.place((*path, "address"))
        raise BadInput(f"{port.address} is not on bus 00", place=place, hint="root ports are on bus 00")
    addresses = [Address.parse(function.address) for function in port.functions]
    first = addresses[0]
    for index, address in enumerate(addresses):
        if address.slot != first.slot or not address.bus or address.device:
            raise BadInput(
                f"{address} cannot be behind the root port {port.address}",
                place=source.place((*path, "functions", index, "address")),
                hint="behind a root port is one bus other than 00 with device 00 and its functions",
            )
    bus = (first.domain, first.bus)
    place = source.place((*path, "functions", 0, "address"))
    if bus in buses:
        hint = f"it is behind {buses[bus]}"
        raise BadInput(f"bus {first.bus:02x} is behind two root ports", place=place, hint=hint)
    buses[bus] = port.address
    if all(address.function for address in addresses):
        hint = "without a function 0 nothing looks for the others"
        raise BadInput(f"the slot of {first} has no function 0", place=place, hint=hint)
