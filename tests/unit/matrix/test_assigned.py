"""A function that the lab could imitate on one side only is not one that came or went."""

from __future__ import annotations

from pipeline.matrix import baseline
from pipeline.matrix.assigned import missing, without
from pipeline.matrix.comparison import State, against
from pipeline.matrix.difference import Weight
from tests.unit.matrix.cells import cell, fingerprint, releases, result

CARD = "01:00.0"
WITH: dict[str, str | None] = {f"devices/{CARD}": "vfio-user-pci", f"interrupts/{CARD}/MSI": "1 vectors"}
GONE: dict[str, str | None] = {path: None for path in fingerprint().facts if CARD in path}
NOTE = "QEMU 10.0 has no vfio-user-pci, by which the lab imitates an assigned function"


def test_what_is_missing() -> None:
    assert missing(fingerprint(GONE), fingerprint(WITH), "10.0") == (CARD,)
    assert missing(fingerprint(GONE), fingerprint(WITH), "10.1") == ()
    assert missing(fingerprint(GONE), fingerprint(WITH), "mine") == ()
    assert missing(fingerprint(WITH), fingerprint(WITH), "10.0") == ()
    assert missing(fingerprint(), fingerprint(WITH), "10.0") == ()
    other: dict[str, str | None] = {f"devices/{CARD}": "e1000e"}
    assert missing(fingerprint(GONE), fingerprint(other), "10.0") == ()


def test_it_is_left_out_by_name() -> None:
    left = without(fingerprint(GONE), fingerprint(WITH), "10.0").left_out
    assert left == {f"{section}/{CARD}": NOTE for section in ("pci", "devices", "interrupts")}
    same = fingerprint(GONE)
    assert without(same, fingerprint(WITH), "11.1") is same


def test_a_comparison_does_not_show_it_as_new() -> None:
    before = baseline.of(result(cell("10.0"), changed=GONE))
    assert before is not None
    after = {
        **WITH,
        "pci/00:01.0/PCIe/link": "8 GT/s x16",
        "acpi/DSDT/_SB.PCI0.S08.S01": "Device",
        "acpi/DSDT/_SB.PCI0.S08.S01._ADR": "0x1",
    }
    found = against(result(cell("11.1"), changed=after), before, releases("10.0", "11.1"))
    assert found.state is State.HARMLESS
    assert found.left_out[f"pci/{CARD}"] == NOTE
    assert [one.difference.path for one in found.explained] == ["acpi/DSDT", "pci/00:01.0/PCIe/link"]
    assert all("imitate the function" in one.explanation.text for one in found.explained)
    assert {one.difference.weight for one in found.explained} == {Weight.HARMLESS}
    back = baseline.of(result(cell("11.1"), changed=after))
    assert against(result(cell("10.0"), changed=GONE), back, releases("10.0", "11.1")).state is State.HARMLESS


def test_a_function_that_vanished_for_another_reason_is_shown() -> None:
    before = baseline.of(result(cell("11.1"), changed=WITH))
    found = against(result(cell("11.1", "pc-q35-11.1"), changed=GONE), before, releases("11.1"))
    assert f"pci/{CARD}" in {one.difference.path for one in found.explained}
    assert found.state is State.NOTICEABLE
