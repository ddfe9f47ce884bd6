"""QEMU's devices with their properties (`devices/00:01.0/x-speed`): what a machine type's compat properties change."""

from __future__ import annotations

from pipeline.fingerprint import qtree
from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.notes import Notes
from pipeline.fingerprint.sighting import Sighting

_HOST_SIDE = {
    "drive", "chardev", "netdev", "audiodev", "iothread", "iothread-vq-mapping", "memdev", "display", "socket", "pit",
    "host", "sysfsdev", "fd", "file", "romfile", "share-rw", "rerror", "werror", "stats-intervals", "backend_defaults",
    "account-invalid", "account-failed", "failover_pair_id", "dump-guest-core", "memory", "vhostfd", "iommufd",
    "vf-token",
}  # fmt: skip
"""Properties of the host's side; some have paths or names of a run."""
_IN_THE_NAME = {"addr", "busnr"}


def read(sighting: Sighting) -> Fingerprint:
    """Section `devices`."""
    notes = Notes(section="devices")
    text = sighting.hmp.get("info qtree")
    if text is None:
        notes.leave_out("", sighting.missing.get("info qtree", "QEMU did not tell its devices"))
        return notes.fingerprint()
    for name, device in qtree.named(qtree.devices(text)):
        # Two that nothing tells apart get numbers, and their properties go with them.
        place = notes.place(name)
        notes.fact(place, device.kind)
        for key, value in device.properties.items():
            if key not in _HOST_SIDE | _IN_THE_NAME:
                notes.fact(f"{place}/{key}", value or "empty")
    notes.leave_out("*/(host side)", "drives, network back ends and their like: a guest cannot see them")
    return notes.fingerprint()
