"""DB811 to DB813: where the guest finds the functions it gets."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.lint.finding import Severity
from pipeline.lint.receiving import functions, is_gpu, receiving
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup
from pipeline.setup.domain import Domain, GuestAddress, HostDevice

_XML = "libvirt docs/formatdomain.rst, Device Addresses; docs/pci-hotplug.rst"


@rule("DB811", holds="every libvirt and QEMU", source=f"{_XML}; ArchWiki PCI passthrough via OVMF")
def card_scattered(setup: Setup) -> Iterator[Problem]:
    """The functions of one card are in several slots of the guest.

    On the host a graphics card and its audio are functions 0 and 1 of one slot. libvirt and virt-manager give every
    hostdev a slot of its own when no address is written. Most drivers do not mind; some look for their sister function
    in their own slot (audio over HDMI, the USB and UCSI functions of a GeForce RTX).
    """
    for domain in receiving(setup):
        for slot, devices in _cards(domain).items():
            addresses = [one.address for one in devices if one.address is not None]
            slots = {(address.bus, address.slot) for address in addresses}
            if len(addresses) < len(devices) or len(slots) < 2:
                continue
            first, *others = sorted(devices, key=lambda one: one.source)
            stray = next(one for one in others if _slot(one) != _slot(first))
            yield Problem(
                severity=Severity.NOTE,
                place=stray.place,
                found=f"{stray.source} is not in the guest's slot of {first.source}, which is the same card",
                why="a driver that looks for the other function of its card in its own slot does not find it",
                fix=_together(first, [one.source.function for one in others], slot),
            )


def _slot(device: HostDevice) -> tuple[int, int] | None:
    return (device.address.bus, device.address.slot) if device.address else None


def _cards(domain: Domain) -> dict[tuple[int, int, int], list[HostDevice]]:
    cards: dict[tuple[int, int, int], list[HostDevice]] = {}
    for device in domain.host_devices:
        cards.setdefault(device.source.slot, []).append(device)
    return cards


def _together(first: HostDevice, others: list[int], slot: tuple[int, int, int]) -> str:
    address = first.address or GuestAddress(bus=1, slot=0, function=0)
    where = f"bus='{address.bus:#04x}' slot='{address.slot:#04x}'"
    return (
        f"give {first.source} <address type='pci' {where} function='0x0' multifunction='on'/>, and the others the same "
        f"bus and slot with function {', '.join(f'{one:#x}' for one in others)}"
    )


@rule(
    "DB812",
    holds="every QEMU",
    source="PCI Local Bus 3.0, 3.2.2.3.4; kernel drivers/pci/probe.c pci_scan_slot()",
)
def no_function_0(setup: Setup) -> Iterator[Problem]:
    """A slot of the guest has no function 0.

    Firmware and kernel look for function 0 of a slot first, and for no other where there is none: the guest does not
    see the device at all, although QEMU has it.
    """
    for domain in receiving(setup):
        used: dict[tuple[int, int], list[HostDevice]] = {}
        for device in domain.host_devices:
            if device.address is not None:
                used.setdefault((device.address.bus, device.address.slot), []).append(device)
        for (bus, slot), devices in used.items():
            numbers = [device.address.function for device in devices if device.address]
            # On bus 0 function 0 of the slot may be another device: a root port, say.
            if bus == 0 or 0 in numbers:
                continue
            yield Problem(
                severity=Severity.ERROR,
                place=devices[0].place,
                found=f"{devices[0].source} is function {numbers[0]} of the guest's slot {bus:02x}:{slot:02x}, "
                "which has no function 0",
                why="nothing in the guest looks for the other functions of a slot without function 0",
                fix="write function='0x0' into its <address>",
            )


@rule("DB813", holds="Q35 of every QEMU", source="QEMU docs/pcie.txt; ArchWiki PCI passthrough via OVMF")
def on_root_bus(setup: Setup) -> Iterator[Problem]:
    """A passed function is on bus 0 of the guest, not behind a root port.

    On bus 0 of Q35 a device is an endpoint integrated into the root complex: it has no link, and drivers of graphics
    cards that read the state of theirs from the port above do not find one.
    """
    known = functions(setup)
    for domain in receiving(setup):
        for device in domain.host_devices if "q35" in domain.machine.value else ():
            if device.address is None or device.address.bus != 0:
                continue
            function = known.get(device.source)
            gpu = function is not None and is_gpu(function)
            yield Problem(
                severity=Severity.WARNING if gpu else Severity.NOTE,
                place=device.place,
                found=f"{device.source} is on bus 0 of the guest",
                why="there it has no root port above it and no PCI Express link, which drivers of graphics cards "
                "look for",
                fix="take its <address> out, and libvirt puts it behind a pcie-root-port",
            )


RULES: tuple[Rule, ...] = (card_scattered, no_function_0, on_root_bus)
