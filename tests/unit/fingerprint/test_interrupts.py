from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.fingerprint.interrupts import read
from tests.sightings import sighting

REAL = sighting("10.0-pc-q35-9.2")
LAPIC = "qom-get cpu/lapic type"


def machine(*controllers: str, lapic: str | None) -> dict[str, str]:
    text = "bus: main-system-bus\n  type System\n" + "".join(
        f'  dev: {name}, id ""\n    version = 32 (0x20)\n' for name in controllers
    )
    qmp = {key: value for key, value in REAL.qmp.items() if key != LAPIC}
    seen = replace(REAL, hmp={"info qtree": text}, qmp={**qmp, **({LAPIC: lapic} if lapic else {})})
    found = read(seen)
    return {**found.facts, **dict.fromkeys(found.left_out, "left out")}


@pytest.mark.parametrize(
    ("controllers", "lapic", "irqchip"),
    [
        (("kvm-ioapic", "kvm-i8259", "kvm-pit"), "kvm-apic", "kernel"),
        (("ioapic", "isa-i8259", "isa-pit"), "kvm-apic", "split"),
        (("ioapic", "isa-i8259", "isa-pit"), "apic", "off"),
        (("ioapic",), None, "left out"),
    ],
)
def test_the_irqchip_is_told_by_whose_the_controllers_are(
    controllers: tuple[str, ...], lapic: str | None, irqchip: str
) -> None:
    assert machine(*controllers, lapic=lapic)["interrupts/irqchip"] == irqchip


def test_a_controller_that_is_not_there_is_none() -> None:
    facts = machine("ioapic", "kvm-pit", lapic="apic")
    assert facts["interrupts/PIC"] == facts["interrupts/HPET"] == "none"
    assert facts["interrupts/IOAPIC"] == "QEMU"
    assert facts["interrupts/PIT"] == "KVM"
    assert facts["interrupts/IOAPIC version"] == "32"


def test_how_a_function_interrupts() -> None:
    facts = read(REAL).facts
    assert facts["interrupts/01:00.0/INTx"] == "pin A, line 10"
    assert facts["interrupts/01:00.0/MSI"] == "1 vectors, not enabled"
    assert facts["interrupts/02:00.0/MSI-X"] == "16 vectors, not enabled"
    assert facts["interrupts/00:00.0/INTx"] == "none"


def test_enabled_msi_and_disabled_intx_are_seen() -> None:
    config = bytearray(REAL.memory["pci/01:00.0"])
    at = config[0x34]
    assert config[at] == 0x05
    config[at + 2] |= 1
    config[5] |= 4
    usb = bytearray(REAL.memory["pci/02:00.0"])
    assert usb[usb[0x34]] == 0x11
    usb[usb[0x34] + 3] |= 0x80
    memory = {**REAL.memory, "pci/01:00.0": bytes(config), "pci/02:00.0": bytes(usb)}
    facts = read(replace(REAL, memory=memory)).facts
    assert facts["interrupts/02:00.0/MSI-X"] == "16 vectors, enabled"
    assert facts["interrupts/01:00.0/MSI"] == "1 vectors, enabled"
    assert facts["interrupts/01:00.0/INTx"] == "pin A, line 10, disabled"
