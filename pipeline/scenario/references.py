"""What has to agree between the parts of a scenario: addresses, and whatever names one."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import BadInput
from pipeline.scenario.model import HostDevice, Scenario
from pipeline.scenario.source import Path, Source
from pipeline.scenario.topology import check_topology


def check_references(scenario: Scenario, source: Source) -> None:
    """Raise BadInput where addresses clash or name nothing."""
    _check_unique(scenario, source)
    check_topology(scenario.board, source)
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
    for placed in scenario.board.placed():
        yield (*placed.path, "address"), placed.entry.address


def _check_unique(scenario: Scenario, source: Source) -> None:
    _check_once(_addresses(scenario), "is on the board twice", source)


def _check_once(named: Iterator[tuple[Path, str]], complaint: str, source: Source) -> None:
    seen: dict[str, Path] = {}
    for path, address in named:
        if address in seen:
            first = source.place(seen[address])
            raise BadInput(f"{address} {complaint}", place=source.place(path), hint=f"first at {first}")
        seen[address] = path
