"""L1 from Debian's packages: a stand-in for hosts whose own distribution is not at hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.lab import cache
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import Package, lock_hooks, mirror, mmdebstrap, read_lock
from pipeline.lab.image import LABEL, HostImage, build

SUITE = "trixie"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "openssh-server",
    "linux-image-amd64",
    "busybox-static",
    "kmod",
    "pciutils",
    "iproute2",
    "libvirt-daemon-system",
    "libvirt-clients",
    "libvirt-daemon-driver-qemu",
    "qemu-system-x86",
    "ovmf",
    "zstd",
    "grub-common",
    "grub2-common",
    "grub-efi-amd64-bin",
    "initramfs-tools",
    "dracut-core",
    "systemd-boot-efi",
    "systemd-ukify",
    "swtpm",
    "swtpm-tools",
)


def name() -> str:
    """The cache's name for the image; changes with everything it is made of."""
    return cache.key("debian", SUITE, PACKAGES, mirror(), *build.made_by())


def cached() -> bool:
    """Whether the image is there already."""
    return (cache.root() / "images" / name()).is_dir()


def image(progress: Progress, *, accept: Callable[[Sequence[Package]], None] = lambda _: None) -> HostImage:
    """The image from the cache, built first if need be (a minute or two).

    `accept` sees the packages before the image is made, and raises for any that shall not be. Raises LabFault.
    """
    path = cache.prepared("images", name(), lambda fresh: _build(fresh, progress, accept))
    return build.load(path, own="debian")


def _build(fresh: Path, progress: Progress, accept: Callable[[Sequence[Package]], None]) -> None:
    progress("building the L1 image from Debian's packages (a minute or two, 1.3 GB)")
    listed, archived = fresh / "packages", fresh / "root.tar"
    mmdebstrap(
        archived,
        suites=(SUITE,),
        packages=PACKAGES,
        variant="apt",
        progress=progress,
        hooks=[
            f'--customize-hook=printf {LABEL} > "$1/.dryboot-label"',
            f"--customize-hook={build.SHAPE.read_text()}",
            f'--customize-hook={sys.executable} {build.UNTRACED} "$1"',
            *lock_hooks(listed),
        ],
    )
    packages = read_lock(listed)
    listed.unlink()
    accept(packages)
    build.finish(fresh, archived, packages=packages, distribution="Debian 13", progress=progress)
