"""What differs alike is told once."""

from __future__ import annotations

from pipeline.fingerprint.model import Fingerprint
from pipeline.matrix.contrast import compare
from pipeline.matrix.difference import Difference, Kind, Weight


def differences(old: dict[str, str], new: dict[str, str]) -> tuple[Difference, ...]:
    return compare(Fingerprint(facts=old), Fingerprint(facts=new)).differences


PORTS = {f"pci/00:01.{number}/ids": "1b36:000c" for number in range(3)}


def speeds(*values: str) -> dict[str, str]:
    return {f"pci/00:01.{number}/PCIe/link": value for number, value in enumerate(values)} | PORTS


def test_the_same_fact_of_several_devices() -> None:
    (found,) = differences(speeds("2.5", "2.5", "2.5"), speeds("16", "16", "16"))
    assert (found.path, found.before, found.after) == ("pci/*/PCIe/link", "2.5", "16")
    assert found.gathered
    assert [one.path for one in found.details] == [f"pci/00:01.{number}/PCIe/link" for number in range(3)]


def test_what_differs_otherwise_stays_alone() -> None:
    found = differences(speeds("2.5", "2.5", "2.5"), speeds("16", "16", "32"))
    assert [(one.path, one.gathered) for one in found] == [
        ("pci/00:01.2/PCIe/link", False),
        ("pci/*/PCIe/link", True),
    ]
    (alone,) = differences(speeds("2.5"), speeds("16"))
    assert not alone.gathered


def test_devices_that_came_are_each_told() -> None:
    new = {"pci/02:00.0/ids": "1af4:1041", "pci/03:00.0/ids": "1af4:1041"}
    assert [one.path for one in differences({}, new)] == ["pci/02:00.0", "pci/03:00.0"]


def test_a_device_below_another_is_one_of_its_own() -> None:
    below = {
        "devices/00:1f.0": "ICH9-LPC",
        "devices/00:1f.0/hpet@1": "hpet",
        "devices/00:1f.0/hpet@1/timers": "3",
        "devices/00:1f.0/noreboot": "false",
    }
    without = {path: value for path, value in below.items() if "hpet" not in path}
    (found,) = differences(below, without)
    assert (found.path, found.kind) == ("devices/00:1f.0/hpet@1", Kind.REMOVED)
    assert len(found.details) == 2


def test_a_table_of_code() -> None:
    old = {
        "acpi/DSDT/digest": "a",
        "acpi/DSDT/_SB.A": "Method",
        "acpi/FACP/digest": "a",
        "acpi/FACP/flags": "1",
    }
    new = {
        "acpi/DSDT/digest": "b",
        "acpi/DSDT/_SB.A._HID": "x",
        "acpi/FACP/digest": "b",
        "acpi/FACP/flags": "2",
    }
    found = differences(old, new)
    assert [(one.path, one.before, one.after) for one in found] == [
        ("acpi/DSDT", "a", "b"),
        ("acpi/FACP/digest", "a", "b"),
        ("acpi/FACP/flags", "1", "2"),
    ]
    assert [one.path for one in found[0].details] == [
        "acpi/DSDT/_SB.A",
        "acpi/DSDT/_SB.A._HID",
        "acpi/DSDT/digest",
    ]
    assert [one.weight for one in found[0].details] == [
        Weight.HARMLESS,
        Weight.NOTICEABLE,
        Weight.HARMLESS,
    ]
    assert found[0].weight is Weight.NOTICEABLE
