"""Root file systems for L1, one module a source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.lab.debootstrap import Package

LABEL = "dryboot"
UUID = "64727962-6f6f-7400-8000-6c3100000001"


@dataclass(frozen=True, kw_only=True, slots=True)
class HostImage:
    """A root file system for L1 in the cache, and what it boots from.

    `root` is an ext4 file system with LABEL and UUID; `tree` the same as a directory, on which the host's own
    tools run; `base` is a cpio archive with shell, kmod and udev for the substitute of mkinitcpio; `tiny` one that
    only powers off; `grub` GRUB as an EFI program that looks for the file system's label. `name` is the cache's,
    and changes with everything the image is made of. `distribution` is for people, `own` the scenario's name of the
    distribution whose own packages these are. `generators` are the tools for an initramfs that it has.
    """

    name: str
    root: Path
    tree: Path
    kernel: Path
    release: str
    base: Path
    tiny: Path
    grub: Path
    distribution: str
    packages: dict[str, str]
    lock: tuple[Package, ...] = ()
    own: str = ""
    generators: frozenset[str] = frozenset()

    def version(self, *names: str) -> str:
        """The version of the first of these packages that is there, for each distribution names it otherwise."""
        return next((self.packages[name] for name in names if name in self.packages), "?")
