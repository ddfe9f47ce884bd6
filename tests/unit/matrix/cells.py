"""Cells, results and fingerprints to compare."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.fingerprint.model import Fingerprint
from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.machine_types import MachineType, ReleaseTypes, by_facts, of
from pipeline.matrix.result import CellCheck, CellResult, Ended

FACTS = {
    "pci/00:01.0/ids": "1b36:000c",
    "pci/00:01.0/class": "060400",
    "pci/00:01.0/PCIe/extended tag": "no",
    "pci/00:01.0/PCIe/link at most": "16 GT/s x32",
    "pci/01:00.0/ids": "1002:67ef",
    "pci/01:00.0/class": "030000",
    "pci/01:00.0/subsystem": "148c:2385",
    "pci/01:00.0/BAR 0": "memory 64-bit prefetchable 256 MiB",
    "pci/02:00.0/ids": "1af4:1042",
    "pci/02:00.0/class": "010000",
    "pci/02:00.0/subsystem": "1af4:1100",
    "pci/02:00.0/MSI-X/vectors": "3",
    "interrupts/02:00.0/MSI-X": "3 vectors, enabled",
    "interrupts/irqchip": "kernel",
    "acpi/FACP/revision": "3",
    "acpi/DSDT/digest": "0123456789abcdef",
    "smbios/0/version": "2025.02-8",
    "smbios/1/version": "pc-q35-9.2",
    "smbios/1/uuid": "0b2bc71f-7c0c-5a5d-9a5c-3d8a4b8d2b6e",
    "cpuid/7.0/edx": "0x20000000",
    "memory-map/pflash": "4 MiB at 0xffc00000",
    "machine/type": "pc-q35-9.2",
}


def cell(qemu: str = "11.1", machine: str = "pc-q35-9.2", lane: Lane = Lane.FAST) -> Cell:
    return Cell(qemu=qemu, machine=machine, lane=lane)


def fingerprint(
    changed: Mapping[str, str | None] | None = None, *, left_out: Mapping[str, str] | None = None
) -> Fingerprint:
    """FACTS with some changed; None takes one away."""
    facts = {**FACTS, **(changed or {})}
    return Fingerprint(
        facts={path: value for path, value in facts.items() if value is not None}, left_out=left_out or {}
    )


def result(
    where: Cell | None = None,
    *,
    changed: Mapping[str, str | None] | None = None,
    failed: tuple[str, ...] = (),
    ended: Ended | None = None,
    compat: Mapping[str, str] | None = None,
) -> CellResult:
    """A cell's result; it failed where a check did."""
    checks = [CellCheck(name="firmware", held="firmware" not in failed, observed="the shell came up")]
    checks += [CellCheck(name=name, held=False, observed="missing") for name in failed if name != "firmware"]
    return CellResult(
        cell=where or cell(),
        ended=ended or (Ended.FAILED if failed else Ended.HELD),
        checks=tuple(checks),
        fingerprint=None if ended is Ended.LAB_FAULT else fingerprint(changed),
        compat=compat,
    )


def types_of(qemu: str, compat: Mapping[str, Mapping[str, str]]) -> ReleaseTypes:
    """A release with these machine types, the last of which is what `q35` means."""
    newest = list(compat)[-1]
    return of(
        qemu,
        [
            MachineType(
                name=name,
                alias="q35" if name == newest else "",
                deprecated=name == "pc-q35-3.1",
                compat=props,
            )
            for name, props in compat.items()
        ],
    )


def releases(*names: str) -> dict[str, ReleaseTypes]:
    """Releases by the rule, without compat properties."""
    return {name: by_facts(name) for name in names}


def told() -> dict[str, ReleaseTypes]:
    """Two releases that tell their compat properties, cut down from what 10.0 and 11.1 say."""
    old = {
        "pc-q35-3.1": {"pcie-root-port.x-speed": "2_5", "pci-device.x-pcie-ext-tag": "false"},
        "pc-q35-9.1": {"pci-device.x-pcie-ext-tag": "false", "virtio-iommu-pci.aw-bits": "39"},
        "pc-q35-9.2": {"virtio-balloon-pci.vectors": "0", "virtio-iommu-pci.aw-bits": "39"},
        "pc-q35-10.0": {"virtio-iommu-pci.aw-bits": "39"},
    }
    mch = {"mch.extended-tseg-mbytes": "16", "virtio-iommu-pci.aw-bits": "39"}
    new = {
        "pc-q35-9.1": {**mch, "pci-device.x-pcie-ext-tag": "false", "virtio-balloon-pci.vectors": "0"},
        "pc-q35-9.2": {**mch, "virtio-balloon-pci.vectors": "0"},
        "pc-q35-10.0": mch,
        "pc-q35-11.1": {"virtio-iommu-pci.aw-bits": "39"},
    }
    return {
        "10.0": types_of("10.0", old),
        "11.1": types_of("11.1", new),
    }
