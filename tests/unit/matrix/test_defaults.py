"""Which defaults differ between two machine types."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.matrix.defaults import changed
from tests.unit.matrix.cells import cell, releases, told, types_of

PROPERTIES = st.dictionaries(
    st.sampled_from(["mch.a", "virtio-pci.b", "virtio-pci.c", "hpet.d"]),
    st.sampled_from(["on", "true", "off", "0", "16"]),
)


def test_what_the_older_sets_and_the_newer_does_not() -> None:
    found = changed(cell("10.0", "pc-q35-9.1"), cell("11.1", "pc-q35-11.1"), told())
    assert found is not None
    assert [(one.name, one.before, one.after) for one in found] == [
        ("mch.extended-tseg-mbytes", "16", None),
        ("pci-device.x-pcie-ext-tag", "false", None),
        ("virtio-balloon-pci.vectors", "0", None),
    ]


def test_the_same_type_on_another_release_has_the_same_defaults() -> None:
    assert changed(cell("10.0"), cell("11.1"), told()) == ()


def test_a_type_that_the_newer_release_has_lost() -> None:
    """10.0 says what pc-q35-3.1 sets that 10.0's newest does not; 11.1 what that one sets since."""
    found = changed(cell("10.0", "pc-q35-3.1"), cell("11.1", "pc-q35-11.1"), told())
    assert found is not None
    assert [one.name for one in found] == [
        "mch.extended-tseg-mbytes",
        "pci-device.x-pcie-ext-tag",
        "pcie-root-port.x-speed",
    ]
    assert "QEMU 10.0 and 11.1" in found[0].source


def test_releases_that_do_not_tell() -> None:
    """The facts have what newer releases say of the same types."""
    found = changed(cell("7.2", "pc-q35-6.0"), cell("7.2", "pc-q35-7.2"), releases("7.2"))
    assert found is not None
    names = {one.name for one in found}
    assert "ICH9-LPC.acpi-pci-hotplug-with-bridge-support" in names
    assert "pci-device.x-pcie-ext-tag" not in names
    assert "compat.toml" in found[0].source
    assert changed(cell("7.2", "pc-q35-99.9"), cell("7.2", "pc-q35-7.2"), releases("7.2")) is None


def test_on_and_true_are_the_same() -> None:
    told = {"11.1": types_of("11.1", {"pc-q35-9.2": {"mch.a": "on"}, "pc-q35-11.1": {"mch.a": "true"}})}
    assert changed(cell(), cell("11.1", "pc-q35-11.1"), told) == ()


@given(PROPERTIES, PROPERTIES)
def test_there_and_back_is_the_same_the_other_way_round(old: dict[str, str], new: dict[str, str]) -> None:
    told = {"11.1": types_of("11.1", {"pc-q35-9.2": old, "pc-q35-11.1": new})}
    there = changed(cell(), cell("11.1", "pc-q35-11.1"), told)
    back = changed(cell("11.1", "pc-q35-11.1"), cell(), told)
    assert there is not None
    assert back is not None
    assert [(one.name, one.before, one.after) for one in there] == [
        (one.name, one.after, one.before) for one in back
    ]
    assert {one.name for one in there} <= {*old, *new}
