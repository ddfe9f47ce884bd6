"""Fault files: what they may say, and that nothing else gets in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.faults import loader
from pipeline.faults.loader import CATALOGUE, load, loads, names, read_all

TEXT = """\
schema: 1
name: example
title: A title
story: What is seen
source: ['https://wiki.archlinux.org/title/PCI_passthrough_via_OVMF']
base: rx560
set: {host.vfio.ids: ['148c:2385']}
files:
  - path: etc/mkinitcpio.conf
    replace: vfio_pci
    with: amdgpu vfio_pci
  - {path: etc/modprobe.d/own.conf, write: "blacklist amdgpu\\n"}
  - {path: etc/default/grub, add_line: GRUB_TIMEOUT=0}
  - {path: etc/modprobe.d/vfio.conf, remove_file: true}
expect:
  finding: DB101
  severity: error
  place: {file: --set host.vfio.ids, text: '148c:2385'}
  also: [DB104]
  boot:
    checks: ['binding[01:00.0]']
    because: nothing takes it
"""


def test_a_fault_is_read() -> None:
    fault = loads(TEXT, file="f.yaml").fault
    assert fault.set_ == {"host.vfio.ids": ("148c:2385",)}
    assert [change.path for change in fault.files] == [
        "etc/mkinitcpio.conf",
        "etc/modprobe.d/own.conf",
        "etc/default/grub",
        "etc/modprobe.d/vfio.conf",
    ]
    assert fault.files[0].with_ == "amdgpu vfio_pci"
    assert fault.expect.boot.checks == ("binding[01:00.0]",)
    assert fault.expect.boot.loader is False


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: A title\n", "", "f.yaml:1:1: title is missing"),
        ("base: rx560", "bse: rx560", "f.yaml:6:6: bse is not a key that a fault has"),
        ("schema: 1", "schema: 2", "f.yaml:1:9: schema: 2 is not allowed"),
        ("host.vfio.ids:", "host..ids:", "f.yaml:7:18: set.'host..ids': 'host..ids' is not allowed"),
        ("severity: error", "severity: bad", "f.yaml:17:13: expect.severity: 'bad' is not allowed"),
        ("finding: DB101", "finding: X1", "f.yaml:16:12: expect.finding: 'X1' is not allowed"),
        ("etc/default/grub", "etc/../grub", "f.yaml:13:12: files.2.path: 'etc/../grub' is not allowed"),
        ("etc/default/grub", "/etc/grub", "f.yaml:13:12: files.2.path: '/etc/grub' is not allowed"),
        ("etc/default/grub", "manifest.json", "f.yaml:13:12: files.2.path: 'manifest.json' is not allowed"),
        ("GRUB_TIMEOUT=0", '"a\\nb"', "f.yaml:13:40: files.2.add_line: 'a\\nb' is not allowed"),
        ("blacklist amdgpu", "a\\0b", "files.1.write: "),
        ("blacklist amdgpu", "a\\u202eb", "files.1.write: "),
        ("replace: vfio_pci", "replace: ''", "f.yaml:10:14: files.0.replace: '' is not allowed"),
        ("    with: amdgpu vfio_pci\n", "", "files.0: replace and with belong together"),
        ("remove_file: true", "remove_file: false", "files.3.remove_file: false is not allowed"),
        (
            "{path: etc/default/grub, add_line: GRUB_TIMEOUT=0}",
            "{path: etc/default/grub}",
            "f.yaml:13:5: files.2: exactly one of replace (and with), add_line, write, remove_file",
        ),
        (
            "add_line: GRUB_TIMEOUT=0",
            "add_line: a, write: b",
            "files.2: exactly one of replace (and with), add_line, write, remove_file",
        ),
        ("    because: nothing takes it\n", "", "expect.boot: either checks and because, or cannot"),
        ("because: nothing", "cannot: nothing", "expect.boot: either checks and because, or cannot"),
        ("https://wiki", "file://wiki", "f.yaml:5:10: source.0: "),
        ("source: ['https://wiki.archlinux.org/title/PCI_passthrough_via_OVMF']", "source: []", "source: "),
        ("['148c:2385']}", "2020-01-01}", "put it in quotes"),
        ("base: rx560", "base: &a rx560", "f.yaml:6:7: anchors and aliases are not allowed"),
    ],
)
def test_what_a_fault_cannot_say_is_named(old: str, new: str, message: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(BadInput) as caught:
        loads(TEXT.replace(old, new), file="f.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("f.yaml:")


def test_a_fault_changes_something() -> None:
    text = TEXT[: TEXT.index("set:")] + TEXT[TEXT.index("expect:") :]
    with pytest.raises(BadInput, match="a fault changes something: set or files"):
        loads(text, file="f.yaml")


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(BadInput, match=r"f\.yaml:1: a fault is a mapping"):
        loads("- 1", file="f.yaml")


@hypothesis_settings(max_examples=200)
@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda data: data.decode("latin-1")))
def test_broken_texts_only_give_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        loads(text, file="f.yaml")


@hypothesis_settings(max_examples=150)
@given(st.integers(0, len(TEXT)), st.integers(0, 12), st.text(max_size=6))
def test_damaged_faults_are_read_or_refused(at: int, cut: int, put: str) -> None:
    try:
        loads(TEXT[:at] + put + TEXT[at + cut :], file="f.yaml")
    except BadInput as error:
        assert str(error).startswith("f.yaml")


def test_a_file_bears_the_name_of_its_fault(tmp_path: Path) -> None:
    (tmp_path / "example.yaml").write_text(TEXT)
    assert load(tmp_path / "example.yaml").fault.name == "example"
    (tmp_path / "other.yaml").write_text(TEXT)
    with pytest.raises(BadInput, match=r"other\.yaml:2:7: name: the fault 'example' is in a file of another"):
        load(tmp_path / "other.yaml")


def test_the_catalogue_is_read_whole_or_in_part() -> None:
    assert len(names()) == len(list(CATALOGUE.glob("*.yaml")))
    assert [one.fault.name for one in read_all(["virqfd-kept", "subsystem-id"])] == [
        "virqfd-kept",
        "subsystem-id",
    ]
    with pytest.raises(BadInput, match="no fault 'none'"):
        read_all(["none"])


def test_places_name_the_file_in_the_checkout() -> None:
    assert loader.load(CATALOGUE / "subsystem-id.yaml").source.file == "scenarios/faults/subsystem-id.yaml"
