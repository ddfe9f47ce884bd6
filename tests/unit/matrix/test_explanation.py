"""Each difference has one line that says why, or the words that nothing does."""

from __future__ import annotations

import pytest
from hypothesis import given

from pipeline.facts import changes, device_types
from pipeline.fingerprint.model import Fingerprint
from pipeline.matrix.cell import Cell
from pipeline.matrix.contrast import compare
from pipeline.matrix.defaults import Default
from pipeline.matrix.difference import flat
from pipeline.matrix.explanation import Explained, default_differences, explain, unexplained
from pipeline.matrix.reason import NOT_EXPLAINED
from pipeline.matrix.sides import Sides, sides, types_of
from tests.unit.matrix.cells import cell, fingerprint, told
from tests.unit.matrix.cells import types_of as release
from tests.unit.matrix.test_contrast import FINGERPRINTS

NEW = cell("11.1", "pc-q35-11.1")
DEVICES: dict[str, str | None] = {
    "devices/00:01.0": "pcie-root-port",
    "devices/00:01.0/x-pcie-ext-tag": "false",
    "devices/02:00.0": "virtio-blk-pci",
    "devices/02:00.0/virtio-backend": "virtio-blk-device",
    "devices/02:00.0/virtio-blk-device": "virtio-blk-device",
}


def explained(
    before: tuple[Cell, Fingerprint], after: tuple[Cell, Fingerprint], **compat: dict[str, dict[str, str]]
) -> tuple[Explained, ...]:
    releases = {name.lstrip("q").replace("_", "."): release(name, types) for name, types in compat.items()}
    context = sides(before, after, releases or told())
    return explain(compare(before[1], after[1]).differences, context)


@given(FINGERPRINTS, FINGERPRINTS)
def test_every_difference_has_a_text(one: Fingerprint, other: Fingerprint) -> None:
    found = explained((cell("10.0"), one), (NEW, other))
    assert len(found) == len(compare(one, other).differences)
    for each in found:
        stack = [each]
        while stack:
            part = stack.pop()
            text, source = part.explanation.text, part.explanation.source
            assert text
            assert "\n" not in text
            assert bool(source) is not text.startswith(NOT_EXPLAINED)
            stack += part.details


def test_the_name_of_the_machine_type() -> None:
    after = fingerprint({"smbios/1/version": "pc-q35-11.1"})
    (found,) = explained((cell("10.0"), fingerprint()), (NEW, after))
    assert "name of the machine type" in found.explanation.text
    assert "smbios_set_defaults" in found.explanation.source


def test_nothing_that_is_the_same_on_both_sides_explains() -> None:
    """The version in SMBIOS differs, but not the type: whatever wrote it, it was not the type's name."""
    after = fingerprint({"smbios/1/version": "other"})
    (found,) = explained((cell("10.0"), fingerprint()), (cell("11.1"), after))
    assert found.explanation.text == NOT_EXPLAINED
    assert unexplained([found]) == (found.difference,)


def test_the_firmware_explains_only_what_another_firmware_can() -> None:
    other = {"smbios/0/version": "2026.08", "smbios/0/date": "08/01/2026"}
    version, date = sorted(
        explained((cell("10.0"), fingerprint()), (cell("11.1"), fingerprint(other))),
        key=lambda one: one.difference.path,
        reverse=True,
    )
    assert "OVMF" in version.explanation.text
    assert "OVMF" in date.explanation.text


def test_a_property_is_explained_by_the_types_that_set_it() -> None:
    before = (cell("10.0", "pc-q35-9.1"), fingerprint(DEVICES))
    new: dict[str, str | None] = {**DEVICES, "devices/00:01.0/x-pcie-ext-tag": "true"}
    (found,) = explained(before, (NEW, fingerprint(new)))
    assert found.explanation.text == (
        "pc-q35-9.1 keeps pci-device.x-pcie-ext-tag=false, pc-q35-11.1 has its new default"
    )
    assert found.explanation.source == "query-machines with compat-props, QEMU 11.1"


def test_what_a_property_does_to_the_guest_is_explained_by_it() -> None:
    before = (cell("10.0", "pc-q35-9.1"), fingerprint(DEVICES))
    after = (NEW, fingerprint({**DEVICES, "pci/00:01.0/PCIe/extended tag": "yes"}))
    (found,) = explained(before, after)
    assert "pci-device.x-pcie-ext-tag=false" in found.explanation.text
    assert "449dca6ac93a" in found.explanation.source


def test_a_property_of_another_device_explains_nothing() -> None:
    """The root port's speed, with a type between which only a virtio property differs."""
    types = {"pc-q35-9.2": {"virtio-pci.x-pcie-flr-init": "off"}, "pc-q35-11.1": {}}
    after = (NEW, fingerprint({**DEVICES, "pci/00:01.0/PCIe/FLR": "yes"}))
    (found,) = explained((cell("10.0"), fingerprint(DEVICES)), after, q11_1=types)
    assert found.explanation.text == NOT_EXPLAINED
    there = (NEW, fingerprint({**DEVICES, "pci/02:00.0/PCIe/FLR": "yes"}))
    (found,) = explained((cell("10.0"), fingerprint(DEVICES)), there, q11_1=types)
    assert "virtio-pci.x-pcie-flr-init=off" in found.explanation.text


def test_what_is_not_explained_names_what_differs_of_the_device() -> None:
    types = {"pc-q35-9.2": {"virtio-blk-device.queue-size": "128"}, "pc-q35-11.1": {}}
    after = (NEW, fingerprint({**DEVICES, "pci/02:00.0/odd": "1"}))
    (found,) = explained((cell("10.0"), fingerprint(DEVICES)), after, q11_1=types)
    assert found.explanation.text == (
        f"{NOT_EXPLAINED} (of this device's properties differ: virtio-blk-device.queue-size)"
    )


def test_types_that_nobody_knows() -> None:
    strange = cell("7.2", "pc-q35-99.9")
    context = sides((strange, fingerprint()), (cell("7.2", "pc-q35-7.2"), fingerprint()))
    (found,) = explain(compare(fingerprint(), fingerprint({"pci/02:00.0/odd": "1"})).differences, context)
    assert "no QEMU at hand tells" in found.explanation.text


def test_a_device_as_a_whole_takes_the_reason_of_all_its_facts() -> None:
    bare = fingerprint({path: None for path in fingerprint().facts if path.startswith("smbios/0/")})
    other = fingerprint({"smbios/9/length": "17"})
    found = explained((cell("7.2"), bare), (cell("11.1"), other))
    assert [(one.difference.path, one.explanation.explains) for one in found] == [
        ("smbios/0", True),
        ("smbios/9", False),
    ]
    assert [one.path for one in unexplained(found)] == ["smbios/9/length"]


@pytest.mark.parametrize(
    ("before", "after", "fits"),
    [("9.0", "9.2", False), ("8.2", "9.2", True), ("9.2", "8.2", True), ("8.0", "8.0", False)],
)
def test_since(before: str, after: str, fits: bool) -> None:
    """The entry point of SMBIOS is chosen anew by pc-q35-9.0 and later."""
    old, new = cell("11.1", f"pc-q35-{before}"), cell("11.1", f"pc-q35-{after}")
    context = sides((old, fingerprint()), (new, fingerprint()))
    differences = compare(
        fingerprint({"smbios/entry point": "64-bit, 3.0"}), fingerprint({"smbios/entry point": "32-bit, 2.8"})
    ).differences
    (found,) = explain(differences, context)
    assert found.explanation.explains is fits


def test_the_history_of_the_split_irqchip() -> None:
    split = fingerprint({"interrupts/irqchip": "split"})
    for other in ("pc-q35-3.1", "pc-q35-4.0.1", "pc-q35-4.1"):
        found = explained((cell("10.0", "pc-q35-4.0"), split), (cell("10.0", other), fingerprint()))
        assert "split irqchip" in found[0].explanation.text
    found = explained((cell("10.0", "pc-q35-4.1"), split), (cell("10.0", "pc-q35-4.2"), fingerprint()))
    assert not found[0].explanation.explains


def test_types_of_devices() -> None:
    found = types_of(fingerprint(DEVICES))
    assert found["02:00.0"] == ("virtio-blk-pci", "virtio-blk-device")
    assert found["devices/00:01.0"] == ("pcie-root-port",)
    assert "devices/02:00.0/virtio-backend" not in found


def test_lineage() -> None:
    assert device_types.lineage("pcie-root-port")[-1] == "pci-device"
    assert device_types.lineage("EPYC-x86_64-cpu") == ("EPYC-x86_64-cpu", "x86_64-cpu")
    assert device_types.lineage("no-such-type") == ("no-such-type",)


def test_defaults_of_devices_that_the_guest_has() -> None:
    defaults = (
        Default(driver="virtio-pci", setting="a", before="off", after=None, source="s"),
        Default(driver="arm-cpu", setting="b", before="off", after=None, source="s"),
        Default(driver="mch", setting="c", before=None, after="16", source="s"),
    )
    context = Sides(before=cell(), after=NEW, defaults=defaults)
    found = default_differences(defaults, context, ["virtio-blk-pci"])
    assert [one.difference.path for one in found] == ["defaults/virtio-pci.a", "defaults/mch.c"]
    assert all(one.explanation.explains for one in found)


def test_the_data_is_sound() -> None:
    """Causes are known ones, a property names a driver, and each entry has its source."""
    for one in changes.changes():
        assert one.cause in {"machine", "release", "firmware", "property", "lab"}
        assert bool(one.property) is (one.cause == "property")
        assert not one.since or one.cause in {"machine", "release"}
        assert one.text
        assert one.source
        for pattern in one.facts:
            weight = changes.weight(pattern)
            assert weight is None or weight.weight in {"harmless", "noticeable"}


def test_parts_of_a_difference_are_explained_too() -> None:
    code = {f"acpi/DSDT/_SB.{name}": "Method" for name in ("A", "B")}
    after = fingerprint({**code, "acpi/DSDT/digest": "fedcba9876543210"})
    (found,) = explained((cell("10.0"), fingerprint()), (cell("11.1"), after))
    assert found.difference.path == "acpi/DSDT"
    assert len(found.details) == 3
    assert len(list(flat([found.difference]))) == 4
