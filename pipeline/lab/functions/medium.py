"""The disks of L2 for the function tests: the UEFI shell with its script, kernel and initramfs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.lab import fat, payload
from pipeline.lab.domain import Medium
from pipeline.lab.functions import initramfs, script
from pipeline.lab.functions.tested import Tested
from pipeline.lab.functions.tree import GuestTree

# What FAT itself takes, and more.
_ROOM = 2 << 20
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Linux:
    """What the guest gets besides the shell. `patience` in seconds: how long any answer of a function may take."""

    tree: GuestTree
    functions: tuple[Tested, ...]
    patience: float


def boot_files(
    shell: Path, ports: Sequence[tuple[int, int]], buses: Sequence[int], linux: Linux, beside: Path
) -> dict[str, Path]:
    """Shell and script by their paths on the disk; what is made for it is made beside `beside`."""
    numbers = [one.function for one in linux.functions]
    return payload.boot_files(shell, script.script(ports, buses, numbers), beside)


def linux_files(linux: Linux, beside: Path) -> dict[str, Path]:
    """Kernel and initramfs by their paths on a disk: it may be another one than the shell's."""
    initrd = beside.with_suffix(".initrd")
    initramfs.write(linux.tree.root, linux.functions, initrd, patience=linux.patience)
    return {script.KERNEL: linux.tree.kernel, script.INITRAMFS: initrd}


def place(media: Sequence[Medium]) -> int:
    """The number of the disk that kernel and initramfs go to: the first that is no CD drive, else the first.

    Firmware reads a CD in an emulated SATA drive by 2 KiB at a time, which takes a minute and more where every
    processor is emulated (QEMU hw/ide/atapi.c ide_atapi_cmd_reply_end(); ran).
    """
    return next((number for number, one in enumerate(media) if not one.cdrom), 0)


def write(files: Mapping[str, Path], target: Path) -> None:
    """Make the disk. Raises LabFault."""
    size = sum(source.stat().st_size for source in files.values()) + _ROOM
    fat.make(target, files, size=-(-size // _MIB) * _MIB)
