"""Interrupt controllers as configured, and how each function interrupts (`interrupts/01:00.0/MSI`)."""

from __future__ import annotations

from pipeline.fingerprint import qtree
from pipeline.fingerprint.capabilities import conventional
from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.notes import Notes, number
from pipeline.fingerprint.pci import Seen, functions
from pipeline.fingerprint.sighting import Sighting

_PARTS = {
    "isa-i8259": "PIC",
    "i8259": "PIC",
    "ioapic": "IOAPIC",
    "isa-pit": "PIT",
    "pit": "PIT",
    "hpet": "HPET",
}
_KVM = "kvm-"
_MSI, _MSIX = 0x05, 0x11


def read(sighting: Sighting) -> Fingerprint:
    """Section `interrupts`."""
    notes = Notes(section="interrupts")
    _controllers(notes, sighting)
    for one in functions(sighting):
        _function(notes, one)
    return notes.fingerprint()


def _controllers(notes: Notes, sighting: Sighting) -> None:
    text = sighting.hmp.get("info qtree")
    if text is None:
        notes.leave_out("controllers", sighting.missing.get("info qtree", "QEMU did not tell its devices"))
        return
    by_kvm: dict[str, bool] = {}
    for device in qtree.devices(text):
        kind = device.kind.removeprefix(_KVM)
        if kind in _PARTS:
            by_kvm[_PARTS[kind]] = device.kind.startswith(_KVM)
            if kind == "ioapic" and "version" in device.properties:
                notes.fact("IOAPIC version", device.properties["version"])
    for part in sorted(set(_PARTS.values())):
        notes.fact(part, ("KVM" if by_kvm[part] else "QEMU") if part in by_kvm else "none")
    local = str(sighting.qmp.get("qom-get cpu/lapic type", ""))
    if local:
        # In the split irqchip the local APICs are KVM's, and PIC and IOAPIC are QEMU's (accel/kvm, kernel_irqchip).
        in_kernel = local.startswith(_KVM)
        notes.fact("local APIC", "KVM" if in_kernel else "QEMU")
        notes.fact("irqchip", ("kernel" if by_kvm.get("IOAPIC") else "split") if in_kernel else "off")
    else:
        notes.leave_out("irqchip", "QEMU did not tell whose the local APICs are")


def _function(notes: Notes, one: Seen) -> None:
    config, name = one.config, str(one.address)
    if not config:
        return
    pin = config[0x3D]
    wire = f"pin {'ABCD'[pin - 1]}, line {config[0x3C]}" if 1 <= pin <= 4 else "none"
    notes.fact(f"{name}/INTx", f"{wire}{', disabled' if number(config, 4, 2) & 0x400 else ''}")
    for capability in conventional(config):
        kind, control = config[capability.at], number(config, capability.at + 2, 2)
        if kind == _MSI:
            notes.fact(f"{name}/MSI", f"{1 << (control >> 1 & 7)} vectors, {_state(control & 1)}")
        elif kind == _MSIX:
            notes.fact(f"{name}/MSI-X", f"{(control & 0x7FF) + 1} vectors, {_state(control & 0x8000)}")


def _state(bit: int) -> str:
    return "enabled" if bit else "not enabled"
