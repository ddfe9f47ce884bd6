"""What a host's libvirt does that depends on its age."""

from __future__ import annotations

_HOOKS = "etc/libvirt/hooks"
# libvirt 6.5.0, which came in July 2020, reads the scripts of qemu.d too (docs/hooks.rst, "Script location").
_FIRST_YEAR = 2021


def hook(guest: str, *, year: int) -> str:
    """Where a host of `year` keeps a hook script for the domain `guest`: a path below /.

    A script of its own leaves others alone. Its name is not the guest's: a folder of that name is what the dispatcher
    of PassthroughPOST/VFIO-Tools (libvirt_hooks/qemu) reads.
    """
    return f"{_HOOKS}/qemu.d/{guest}-passthrough" if year >= _FIRST_YEAR else f"{_HOOKS}/qemu"
