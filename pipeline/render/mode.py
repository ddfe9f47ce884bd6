"""Which files of a bundle are programs."""

from __future__ import annotations


def mode(path: str) -> int:
    """The permission bits of a bundle's file.

    grub-mkconfig runs only what is executable (util/grub-mkconfig.in), and so does modprobe's install command.
    """
    return 0o755 if path.startswith(("etc/grub.d/", "usr/local/bin/")) else 0o644
