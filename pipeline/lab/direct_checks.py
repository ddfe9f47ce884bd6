"""What has to hold for a domain that boots at L0; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.lab.board import socket_name
from pipeline.lab.direct_devices import EMULATED
from pipeline.lab.direct_domain import DirectDomain, GuestPlace
from pipeline.lab.payload import Report
from pipeline.pci import IdPair
from pipeline.plan.model import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectCheck:
    """One check: a stable name such as `firmware` or `function[01:00.0]`, and what was seen."""

    name: str
    held: bool
    observed: str


def refused(words: str) -> tuple[DirectCheck, ...]:
    """QEMU, or libvirt for it, does not take the domain; `words` are its own."""
    return (DirectCheck(name="qemu-started", held=False, observed=words),)


def compare(plan: Plan, machine: str, domain: DirectDomain, report: Report | None) -> Iterator[DirectCheck]:
    """The checks of a boot of which there is this `report`; None where the payload has not come to its end."""
    yield DirectCheck(name="qemu-started", held=True, observed="running")
    booted = "the payload ran to its end" if report else "the firmware found nothing to boot"
    yield DirectCheck(name="booted", held=report is not None, observed=booted)
    if report is None:
        return
    observed = f"OVMF ({report.firmware})" if report.is_ovmf else report.firmware or "nothing"
    yield DirectCheck(name="firmware", held=report.is_ovmf, observed=observed)
    observed = report.machine or "nothing"
    yield DirectCheck(name="machine", held=report.machine == machine, observed=observed)
    ids = {function.address: function.ids for function in plan.passed}
    for place in domain.places:
        if socket_name(place.source) in domain.emulated:
            yield _function(place, ids.get(place.source), report)
        else:
            yield _left_out(place, report)


def _function(place: GuestPlace, ids: IdPair | None, report: Report) -> DirectCheck:
    seen = [one for one in report.functions if one.ids == ids]
    bus = _bus(place, report)
    there = [one for one in seen if (one.bus, one.device, one.function) == (bus, place.slot, place.function)]
    if there:
        observed = f"{ids} as {bus:02x}:{place.slot:02x}.{place.function:x}{_behind(place)}"
    elif seen:
        observed = ", ".join(f"{ids} as {one.bus:02x}:{one.device:02x}.{one.function:x}" for one in seen)
    else:
        listed = ", ".join(str(one.ids) for one in report.functions if one.bus)
        observed = f"not seen (behind ports: {listed or 'none'})"
    return DirectCheck(name=f"function[{place.source}]", held=bool(there), observed=observed)


def _left_out(place: GuestPlace, report: Report) -> DirectCheck:
    """Its root port has to be there all the same, with nothing behind it."""
    bus = _bus(place, report)
    strangers = [str(one.ids) for one in report.functions if one.bus and one.bus == bus]
    if bus and not strangers:
        observed = f"left out: this QEMU has no {EMULATED}; bus {bus:02x} behind its root port is there"
    else:
        observed = f"left out, and behind its root port is {', '.join(strangers) or 'no bus'}"
    return DirectCheck(name=f"function[{place.source}]", held=bool(bus) and not strangers, observed=observed)


def _bus(place: GuestPlace, report: Report) -> int | None:
    """The number that the guest's firmware gave the bus behind the place's root port; 0 for the root itself."""
    if not place.bus:
        return 0
    if place.port is None or place.port >= len(report.port_buses):
        return None
    return report.port_buses[place.port]


def _behind(place: GuestPlace) -> str:
    return "" if place.port is None else " behind its root port"
