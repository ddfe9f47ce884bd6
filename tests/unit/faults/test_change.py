"""A fault made: settings and edits over a good scenario."""

from __future__ import annotations

import pytest

from pipeline.errors import BadInput
from pipeline.faults.change import make, rendered, settings
from pipeline.faults.loader import LoadedFault, loads

HEAD = """\
schema: 1
name: example
title: A title
story: What is seen
source: ['https://example.org/']
base: BASE
expect:
  finding: DB101
  severity: error
  place: {file: x}
  boot: {cannot: because}
"""


def fault(rest: str, base: str = "rx560") -> LoadedFault:
    return loads(HEAD.replace("BASE", base) + rest, file="f.yaml")


def test_settings_are_written_as_the_option_takes_them() -> None:
    found = fault("set: {a.b: ['x', 1, {c: true}], host.kernel: '6.1', d: \"'\\\"\"}")
    assert settings(found) == ('a.b=["x", 1, {"c": true}]', 'host.kernel="6.1"', 'd="\'\\""')


def test_settings_change_the_scenario() -> None:
    made = make(fault("set: {host.vfio.ids: ['148c:2385'], host.kernel: '6.1'}"))
    assert made.rendered.loaded.scenario.host.kernel == "6.1"
    assert b"ids=148c:2385\n" in made.bundle.files["etc/modprobe.d/vfio.conf"]
    assert made.rendered.bundle == made.bundle


def test_each_way_of_editing() -> None:
    made = make(
        fault(
            "files:\n"
            "  - {path: etc/mkinitcpio.conf, replace: '(vfio_pci', with: '(amdgpu vfio_pci'}\n"
            "  - {path: etc/default/grub, add_line: GRUB_CMDLINE_LINUX=}\n"
            '  - {path: etc/modules-load.d/vfio.conf, write: "vfio_pci\\n"}\n'
            "  - {path: etc/modprobe.d/vfio.conf, remove_file: true}\n"
        )
    )
    good = rendered("rx560").bundle.files
    files = made.bundle.files
    assert b"MODULES=(amdgpu vfio_pci vfio vfio_iommu_type1)\n" in files["etc/mkinitcpio.conf"]
    assert files["etc/default/grub"] == good["etc/default/grub"] + b"GRUB_CMDLINE_LINUX=\n"
    assert files["etc/modules-load.d/vfio.conf"] == b"vfio_pci\n"
    assert set(good) - set(files) == {"etc/modprobe.d/vfio.conf"}
    assert files["manifest.json"] == good["manifest.json"]


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("files: [{path: etc/none, add_line: x}]", "f.yaml:12:9: the bundle has no etc/none"),
        ("files: [{path: etc/none, remove_file: true}]", "f.yaml:12:9: the bundle has no etc/none"),
        ("files: [{path: etc/default/grub, write: x}]", "f.yaml:12:9: etc/default/grub is in the bundle"),
        (
            "files: [{path: etc/default/grub, replace: GRUB_, with: x}]",
            "the text to replace is in etc/default/grub 17 times",
        ),
        (
            "files: [{path: etc/default/grub, replace: none, with: x}]",
            "f.yaml:12:43: the text to replace is in etc/default/grub 0 times",
        ),
        ("files: [{path: libvirt/win10.xml, remove_file: true}]", "there is no guest without its domain"),
        ("set: {host.kernel: '$(id)'}", "f.yaml:12:1: --set host.kernel: host.kernel: "),
        ("set: {host.kernel.x: 1}", "f.yaml:12:1: --set host.kernel.x: there is no"),
        ("set: {guest.none: 1}", "guest.none is not a key"),
    ],
)
def test_what_cannot_be_made_is_named_at_its_place(rest: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        make(fault(rest))
    assert message in str(caught.value)
    assert str(caught.value).startswith("f.yaml:12:")


def test_the_base_is_a_shipped_scenario() -> None:
    with pytest.raises(BadInput, match=r"f\.yaml:6:7: no scenario 'none'"):
        make(fault("set: {host.kernel: '6.1'}", base="none"))
