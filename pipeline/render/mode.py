"""Which files of a bundle are programs."""

from __future__ import annotations


def mode(path: str) -> int:
    """The permission bits of a bundle's file: grub-mkconfig runs what is executable (grub-mkconfig.in)."""
    return 0o755 if path.startswith("etc/grub.d/") else 0o644
