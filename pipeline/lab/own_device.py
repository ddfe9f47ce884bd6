"""The device models of QEMU that stand for functions which stay on the host; pure."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.pci import IdPair
from pipeline.plan.grouping import INTEL
from pipeline.plan.topology import Kind, PlannedFunction


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnDevice:
    """A device model with its ids. `express`: on a PCI Express bus it has a PCI Express capability.

    `conventional`: it can also be behind a PCIe-to-PCI bridge. `io`: it has an I/O BAR.
    """

    model: str
    ids: IdPair
    express: bool
    conventional: bool
    io: bool = False


# By class code, longest prefix first, then in this order. Ids and buses: QEMU docs/specs/pci-ids.rst and the
# interfaces of each model in hw/ (ran: lspci in L1).
OWN_DEVICES: tuple[tuple[str, OwnDevice], ...] = (
    (
        "010802",
        OwnDevice(model="nvme,serial=dryboot", ids=IdPair(0x1B36, 0x0010), express=True, conventional=False),
    ),
    ("010601", OwnDevice(model="ahci", ids=IdPair(INTEL, 0x2922), express=False, conventional=True, io=True)),
    ("0c0330", OwnDevice(model="qemu-xhci", ids=IdPair(0x1B36, 0x000D), express=True, conventional=True)),
    ("0200", OwnDevice(model="e1000e", ids=IdPair(INTEL, 0x10D3), express=True, conventional=False, io=True)),
    ("0200", OwnDevice(model="e1000", ids=IdPair(INTEL, 0x100E), express=False, conventional=True, io=True)),
    ("0403", OwnDevice(model="intel-hda", ids=IdPair(INTEL, 0x2668), express=False, conventional=True)),
    ("03", OwnDevice(model="bochs-display", ids=IdPair(0x1234, 0x1111), express=True, conventional=True)),
    (
        "06",
        OwnDevice(model="pci-testdev", ids=IdPair(0x1B36, 0x0005), express=False, conventional=True, io=True),
    ),
)


def own_device(function: PlannedFunction) -> OwnDevice | None:
    """The model that stands for `function`, None where only an emulated function will do."""
    # A twin is there to be taken by mistake, so it has the ids of its twin.
    if function.passed or function.twin:
        return None
    fitting = [
        (len(prefix), -place, device)
        for place, (prefix, device) in enumerate(OWN_DEVICES)
        if function.class_code.startswith(prefix) and _groups_alike(device, function)
    ]
    return max(fitting, key=lambda one: one[:2])[2] if fitting else None


def _groups_alike(device: OwnDevice, function: PlannedFunction) -> bool:
    """Whether the kernel groups the model as it groups the function.

    Of functions beside others in a slot of bus 0, it takes only Intel's integrated endpoints for isolated.
    """
    if function.kind is Kind.CONVENTIONAL and function.address.bus:
        return device.conventional
    if function.kind is Kind.ENDPOINT:
        return device.express or device.conventional
    apart = function.kind is Kind.INTEGRATED and function.ids.vendor == INTEL
    return (device.express and device.ids.vendor == INTEL) == apart
