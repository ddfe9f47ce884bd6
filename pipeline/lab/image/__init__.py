"""Root file systems for L1, one module a source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class HostImage:
    """A root file system for L1 in the cache, and what its initramfs is made from.

    `root` is an ext4 file system labelled `label`; `tree` holds its kernel modules under usr/lib/modules;
    `base` is a cpio archive with shell, kmod and udev; `tiny` one that only powers off.
    """

    root: Path
    label: str
    kernel: Path
    release: str
    tree: Path
    base: Path
    tiny: Path
    distribution: str
    packages: dict[str, str]
