"""What has to be run after files of a machine were changed: nothing on the machine notices by itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from pipeline.facts.initramfs import generator
from pipeline.setup import Setup

_GRUB = re.compile(r"(?:^|/)etc/default/grub(?:$|\.d/)")
_IMAGE = re.compile(
    r"(?:^|/)etc/(?:modprobe\.d/|mkinitcpio\.|dracut\.conf|initramfs-tools/|modules-load\.d/|kernel/cmdline)"
)
_DOMAIN = re.compile(r"(?:^|/)etc/libvirt/qemu/[^/]+\.xml$")
_UPDATE_GRUB = ("grub-mkconfig", "-o", "/boot/grub/grub.cfg")


def commands(setup: Setup, files: Iterable[str]) -> tuple[str, ...]:
    """The commands that bring changed `files` into effect, in order; for a guest, libvirt's.

    Source: mkinitcpio(8), dracut(8), update-initramfs(8), grub-mkconfig(8): none of them runs on a change of its
    configuration. virsh(1) define: libvirt reads /etc/libvirt/qemu when it starts.
    """
    host, changed = setup.host, sorted(set(files))
    found: list[str] = []
    if any(_IMAGE.search(file) for file in changed) and host.initramfs:
        try:
            found.append(shlex.join(generator(host.initramfs.generator).command))
        except LookupError:
            found.append(f"make the initramfs anew with {host.initramfs.generator}")
    if any(_GRUB.search(file) for file in changed):
        found.append(shlex.join(host.facts.grub_mkconfig if host.facts else _UPDATE_GRUB))
    found += [f"virsh define {shlex.quote(file)}" for file in changed if _DOMAIN.search(file)]
    return tuple(found)
