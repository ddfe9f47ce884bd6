"""What the Linux in L2 is made of: a kernel for virtual machines and Python, of Debian's packages.

It stands for the owner's guest, so it is the same for every host, whatever L1 is made of. The cloud kernel is
smaller than the usual one and boots in half the time on an emulated processor (ran, 6.12).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.lab import cache
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import mirror, unpack, write_lock
from pipeline.lab.image import kernels

SUITE = "trixie"
PACKAGES = ("linux-image-cloud-amd64", "python3.13-minimal", "libpython3.13-stdlib", "busybox-static")


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestTree:
    """Unpacked packages in the cache: `kernel` is the bzImage of `release`, `root` has the rest."""

    kernel: Path
    release: str
    root: Path
    packages: dict[str, str]


def name() -> str:
    """The cache's name for the tree; changes with everything it is made of."""
    return cache.key("guest", 2, SUITE, PACKAGES, mirror())


def tree(progress: Progress) -> GuestTree:
    """The tree from the cache, fetched first if need be (half a minute). Raises LabFault."""
    path = cache.prepared("guests", name(), lambda fresh: _prepare(fresh, progress))
    lock = json.loads((path / "lock.json").read_text())
    return GuestTree(
        kernel=path / "vmlinuz",
        root=path / "root",
        release=lock["release"],
        packages={package[0]: package[1] for package in lock["packages"]},
    )


def _prepare(fresh: Path, progress: Progress) -> None:
    progress(f"unpacking a small Linux for the guest from Debian's {SUITE} (half a minute, 0.2 GB)")
    root = fresh / "root"
    packages = unpack(root, suites=(SUITE,), packages=PACKAGES, progress=progress)
    image, release = kernels.only(root, SUITE)
    image.rename(fresh / "vmlinuz")
    # Device nodes and what only a running system has.
    for unused in ("dev", "etc", "var", "proc", "sys", "run", "tmp"):
        shutil.rmtree(root / unused, ignore_errors=True)
    write_lock(fresh, packages, release=release)
