"""Which files of a bundle are programs."""

from __future__ import annotations

_PROGRAMS = (
    "etc/grub.d/",
    "etc/initramfs-tools/hooks/",
    "etc/initramfs-tools/scripts/",
    "etc/libvirt/hooks/",
    "usr/local/bin/",
)


def mode(path: str) -> int:
    """The permission bits of a bundle's file.

    grub-mkconfig runs only what is executable (util/grub-mkconfig.in), and so do modprobe's install command and
    mkinitramfs, which asks each script for its PREREQ (hook-functions, get_prereq_pairs), and libvirt
    (src/util/virhook.c virHookCheck()).
    """
    return 0o755 if path.startswith(_PROGRAMS) else 0o644
