"""What must hold of each passed-through function when a guest uses it, from the decisions alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.plan.model import Check, Expectation, GuestPlan, Plan, Stage
from pipeline.plan.topology import PlannedFunction

# Kind, what is expected, why it matters, what to do.
_KINDS = (
    (
        Check.FUNCTION_BAR,
        "every word reads back as written",
        "a driver in the guest cannot use the function: its registers and memory are behind the BARs",
        "look for what QEMU says of BARs in the guest's log",
    ),
    (
        Check.FUNCTION_INTX,
        "every INTx arrives once",
        "a driver without MSI waits for ever: no sound over HDMI, a GeForce driver that hangs",
        "take a machine type other than pc-q35-4.0, or <ioapic driver='kvm'/> in <features>",
    ),
    (
        Check.FUNCTION_MSI,
        "every MSI arrives once",
        "the guest's driver waits for interrupts that do not come",
        "see that interrupt remapping is on in the host's firmware",
    ),
    (
        Check.FUNCTION_DMA,
        "what the device reads and writes is what the guest has",
        "the device reads or writes the wrong memory of the guest",
        "see that the IOMMU is on; do not change the guest's memory backing",
    ),
    (
        Check.FUNCTION_BLOCKED,
        "refused",
        "the guest's device can reach memory that is not the guest's",
        "see that the IOMMU is on, and that nothing takes it out of the way",
    ),
    (
        Check.FUNCTION_FAULT,
        "a fault of the function in the host's log",
        "DMA that the guest may not do goes unseen",
        "see that the IOMMU is on",
    ),
    (
        Check.FUNCTION_RESET,
        "back, and as new",
        "a device that is not reset keeps what the last guest did",
        "look up the reset bug of the card; a kernel module such as vendor-reset may help",
    ),
    (
        Check.FUNCTION_REBOOT,
        "configuration space the same",
        "the guest loses the device when it reboots: the reset bug",
        "look up the reset bug of the card; a kernel module such as vendor-reset may help",
    ),
    (
        Check.FUNCTION_RESTART,
        "configuration space the same",
        "the device works once, then only after a reboot of the host: the reset bug",
        "look up the reset bug of the card; a kernel module such as vendor-reset may help",
    ),
)
KINDS = frozenset(kind for kind, *_ in _KINDS)


def with_functions(plan: Plan) -> Plan:
    """The plan with what must hold of the functions when a guest uses them."""
    added = function_expectations(plan.guest, plan.passed)
    return replace(plan, expectations=(*plan.expectations, *added))


def function_expectations(guest: GuestPlan, passed: Sequence[PlannedFunction]) -> Iterator[Expectation]:
    """For each passed function: BARs, interrupts, DMA, reset, and that it comes back."""
    places = {device.source: device.place for device in guest.host_devices}
    for function in passed:
        for check, expected, why, fix in _KINDS:
            yield Expectation(
                check=check,
                stage=Stage.GUEST,
                subject=str(function.address),
                expected=expected,
                place=places.get(function.address, guest.machine.place),
                why=why,
                fix=fix,
            )
