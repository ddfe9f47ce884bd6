"""What QEMU 7.2, 10.0 and 11.1 gave one guest, cut down to what differs: see seen/."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.facts import compat
from pipeline.matrix import baseline
from pipeline.matrix.baseline import Baseline
from pipeline.matrix.comparison import Comparison, State, against, compare_types
from pipeline.matrix.machine_types import MachineType, ReleaseTypes, of
from pipeline.matrix.result import CellCheck, CellResult, Ended

SEEN = Path(__file__).parent / "seen"
BASELINES = {one.cell.name: one for one in baseline.read_all(SEEN)}


def releases() -> dict[str, ReleaseTypes]:
    told = json.loads((SEEN / "machine-types.json").read_text())
    return {name: of(name, [MachineType(**one) for one in types]) for name, types in told.items()}


def result(one: Baseline) -> CellResult:
    return CellResult(
        cell=one.cell,
        ended=Ended.HELD,
        checks=tuple(CellCheck(name=name, held=held, observed="") for name, held in one.checks.items()),
        fingerprint=one.fingerprint,
        compat=one.compat,
    )


def compared(before: str, after: str) -> Comparison:
    return against(result(BASELINES[f"fast-{after}"]), BASELINES[f"fast-{before}"], releases())


def texts(found: Comparison) -> dict[str, str]:
    stack, seen = list(found.explained), {}
    while stack:
        one = stack.pop()
        seen[one.difference.path] = one.explanation.text
        stack += one.details
    return seen


def dark(found: Comparison) -> list[str]:
    return sorted(path for path, text in texts(found).items() if text.startswith("not explained"))


@pytest.mark.parametrize("name", BASELINES)
def test_a_cell_does_not_differ_from_itself(name: str) -> None:
    assert against(result(BASELINES[name]), BASELINES[name], releases()).state is State.SAME


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("10.0-pc-q35-9.2", "11.1-pc-q35-9.2"),
        ("11.1-pc-q35-9.2", "10.0-pc-q35-9.2"),
        ("11.1-pc-q35-9.2", "11.1-pc-q35-11.1"),
        ("11.1-pc-q35-11.1", "11.1-pc-q35-9.2"),
        ("10.0-pc-q35-9.2", "11.1-pc-q35-11.1"),
        ("7.2-pc-q35-7.2", "10.0-pc-q35-9.2"),
    ],
)
def test_everything_is_explained(before: str, after: str) -> None:
    found = compared(before, after)
    assert len(found.explained) > 10
    assert dark(found) == []


def test_what_changed_between_the_releases() -> None:
    found = texts(compared("10.0-pc-q35-9.2", "11.1-pc-q35-9.2"))
    assert "no method switches to it" in found["acpi/DSDT/_SB.PCI0.PRES._INI"]
    assert "level-triggered" in found["acpi/DSDT/_SB.PCI0.SF8.COM1._CRS"]
    assert found["acpi/DSDT/digest"] == "it follows from what else differs in the table"
    assert found["devices/*/x-pcie-extcap-init"] == (
        "only pc-q35-2.4 and older set pci-device.x-pcie-extcap-init: QEMU 11.1 has lost it together with these types"
    )
    assert found["devices/05:00.0/virtio-net-device/host_tunnel"] == (
        "QEMU 11.1 has got virtio-net-device.host_tunnel, which pc-q35-10.1 and older set"
    )


def test_what_changed_between_the_types() -> None:
    found = compared("11.1-pc-q35-9.2", "11.1-pc-q35-11.1")
    assert found.state is State.NOTICEABLE
    said = texts(found)
    assert "name of the machine type" in said["smbios/1/version"]
    assert said["devices/00:00.0/extended-tseg-mbytes"] == (
        "pc-q35-9.2 keeps mch.extended-tseg-mbytes=16, pc-q35-11.1 has its new default"
    )
    assert said["pci/06:00.0/MSI-X/vectors"].endswith("the balloon has MSI-X")
    names = {one.difference.path for one in found.defaults}
    assert {"defaults/mch.extended-tseg-mbytes", "defaults/x86_64-cpu.x-arch-cap-always-on"} <= names
    assert "defaults/arm-smmuv3.ats" not in names


def test_a_type_that_is_gone_is_explained_by_what_10_0_said_of_it() -> None:
    found = compared("10.0-pc-q35-3.1", "11.1-pc-q35-11.1")
    said = texts(found)
    assert "pcie-root-port.x-speed=2_5" in said["pci/*/PCIe/link at most"]
    assert "acpi-pci-hotplug-with-bridge-support" in said["acpi/DSDT/_SB.PCI0.PHPR"]
    assert "pcie-root-port-base.disable-acs=true" in said["pci/*/ACS"]
    assert "reserves 12 GiB below 1 TiB" in said["acpi/DSDT/_SB.PCI0._CRS"]
    assert dark(found) == []


def test_the_facts_have_what_the_releases_tell() -> None:
    """Every property of every type that was asked, and nothing else that a Q35 guest could have."""
    for release in releases().values():
        for one in release.types:
            if one.compat is None or one.name == "pc-q35-11.1":
                continue
            newest = release.types[-1].name
            known, last = compat.properties(one.name), compat.properties(newest)
            told, latest = one.compat, release.compat(newest)
            assert known is not None
            assert last is not None
            assert latest is not None
            ours = {name: value for name, value in known.items() if last.get(name) != value}
            theirs = {name: value for name, value in told.items() if latest.get(name) != value}
            assert ours.items() <= theirs.items()
            assert not [
                name
                for name in {*theirs} - {*ours}
                if name.startswith(("virtio-pci", "pci", "x86_64", "ICH9"))
            ]


def test_without_what_qemu_tells_the_facts_explain() -> None:
    before, after = BASELINES["fast-10.0-pc-q35-3.1"], BASELINES["fast-11.1-pc-q35-11.1"]
    found = against(result(replace(after, compat=None)), replace(before, compat=None), {})
    said = texts(found)
    assert "name of the machine type" in said["smbios/1/version"]
    assert "pcie-root-port-base.disable-acs=true" in said["pci/*/ACS"]
    assert dark(found) == []


def test_machine_types() -> None:
    told = releases()
    found = compare_types(told["10.0"], told["11.1"])
    assert found.removed[0] == "pc-q35-2.4"
    assert found.removed[-1] == "pc-q35-5.1"
    assert "pc-q35-3.1" in found.removed
    assert found.added == ("pc-q35-10.1", "pc-q35-10.2", "pc-q35-11.0", "pc-q35-11.1")
    assert found.deprecated == ("pc-q35-7.1", "pc-q35-7.2", "pc-q35-8.0", "pc-q35-8.1")
