"""What must hold in the guest, from the decisions alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.plan.model import Check, Expectation, GuestPlan, PlannedHostDevice, Stage
from pipeline.plan.topology import PlannedFunction
from pipeline.scenario.source import Source


def guest_expectations(
    guest: GuestPlan, passed: Sequence[PlannedFunction], source: Source
) -> Iterator[Expectation]:
    """That the domain starts with its firmware and machine type, and that the guest has each passed function."""
    yield from _domain(guest, passed)
    yield from _guest_functions(guest, passed, source)


def _domain(guest: GuestPlan, passed: Sequence[PlannedFunction]) -> Iterator[Expectation]:
    place = guest.machine.place
    devices = [*_strays(guest, passed), *guest.host_devices]
    yield Expectation(
        check=Check.DOMAIN_DEFINED,
        stage=Stage.GUEST,
        subject=guest.name,
        expected="defined",
        place=place,
        why="libvirt does not take the domain XML",
        fix="see libvirt's message",
    )
    yield Expectation(
        check=Check.DOMAIN_STARTED,
        stage=Stage.GUEST,
        subject=guest.name,
        expected="running",
        place=devices[0].place if devices else place,
        why="the guest does not start with the device passed through",
        fix="see libvirt's message",
    )
    yield Expectation(
        check=Check.FIRMWARE,
        stage=Stage.GUEST,
        subject=guest.name,
        expected="OVMF",
        place=place,
        why="the guest did not start UEFI firmware: a GPU without a legacy ROM stays black",
        fix="check the loader's path in the domain",
    )
    yield Expectation(
        check=Check.MACHINE,
        stage=Stage.GUEST,
        subject=guest.name,
        expected=guest.machine.value,
        place=place,
        why="the guest runs on another machine type than the pinned one, so its hardware may change",
        fix="pin `guest.machine`",
    )


def _strays(guest: GuestPlan, passed: Sequence[PlannedFunction]) -> list[PlannedHostDevice]:
    """The hostdevs of the domain whose source is not passed through."""
    reserved = {function.address for function in passed}
    return [device for device in guest.host_devices if device.source not in reserved]


def _guest_functions(
    guest: GuestPlan, passed: Sequence[PlannedFunction], source: Source
) -> Iterator[Expectation]:
    devices = {device.source: device for device in guest.host_devices}
    strays = _strays(guest, passed)
    for function in passed:
        device = devices.get(function.address)
        place = (
            device.place if device else strays[0].place if strays else source.place(("guest", "host_devices"))
        )
        number = device.function if device else function.address.function
        yield Expectation(
            check=Check.GUEST_FUNCTION,
            stage=Stage.GUEST,
            subject=str(function.address),
            expected=str(function.ids),
            place=place,
            why="the guest's firmware does not see the passed-through function",
            fix=f"give the domain a hostdev whose source is {function.address}",
        )
        yield Expectation(
            check=Check.GUEST_PORT,
            stage=Stage.GUEST,
            subject=str(function.address),
            expected=f"function {number} behind a root port",
            place=place,
            why="on the root complex itself PCI Express devices lose capabilities that drivers rely on",
            fix="give the hostdev an address on a pcie-root-port, the functions of one card in one slot",
        )
