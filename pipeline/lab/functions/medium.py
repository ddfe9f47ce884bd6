"""The disk that L2 boots for the function tests: the UEFI shell with its script, kernel and initramfs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.lab import fat
from pipeline.lab.functions import initramfs, script
from pipeline.lab.functions.tested import Tested
from pipeline.lab.functions.tree import GuestTree

# For the shell, the script, and what FAT itself takes.
_ROOM = 3 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Linux:
    """What the disk gets besides the shell. `patience` in seconds: how long any answer of a function may take."""

    tree: GuestTree
    functions: tuple[Tested, ...]
    patience: float


def _same(text: str) -> str:
    return text


def fat_image(
    shell: Path,
    ports: Sequence[tuple[int, int]],
    buses: Sequence[int],
    linux: Linux,
    target: Path,
    *,
    change: Callable[[str], str] = _same,
) -> None:
    """Write the disk to `target`; its parts are made beside it. `change` is done to the script. Raises LabFault."""
    startup, initrd = target.with_suffix(".nsh"), target.with_suffix(".initrd")
    numbers = [one.function for one in linux.functions]
    startup.write_text(change(script.script(ports, buses, numbers)), newline="")
    initramfs.write(linux.tree.root, linux.functions, initrd, patience=linux.patience)
    files = {
        "EFI/BOOT/BOOTX64.EFI": shell,
        "startup.nsh": startup,
        script.KERNEL: linux.tree.kernel,
        script.INITRAMFS: initrd,
    }
    size = sum(source.stat().st_size for source in files.values()) + _ROOM
    fat.make(target, files, size=-(-size // (1 << 20)) << 20)
