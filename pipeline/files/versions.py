"""The kernel's series and QEMU's release, from what packages leave on the disk."""

from __future__ import annotations

import re

from pipeline.facts.version import parts
from pipeline.files.mkinitcpio import PRESETS
from pipeline.files.reader import Reader
from pipeline.plan.model import Written

_MODULES = ("usr/lib/modules", "lib/modules")
_SERIES = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})(?![0-9])")
_PRESET = re.compile(r"linux([1-9])([0-9]{1,2})\.preset")
_PACMAN = "var/lib/pacman/local"
_DPKG = "var/lib/dpkg/status"
_DPKG_LIMIT = 16 << 20
_PACMAN_QEMU = re.compile(
    r"qemu(?:-base|-common|-desktop|-full|-headless|-system-x86)?-(?:[0-9]+:)?([0-9]+\.[0-9]+)"
)


def kernel(reader: Reader) -> Written[str] | None:
    """The series of the newest kernel that has an image, else of the newest that has modules or a preset."""
    images: dict[str, str] = {}
    rest: dict[str, str] = {}
    for folder in _MODULES:
        for name in reader.names(folder):
            series = _series(name)
            if series:
                path = f"{folder}/{name}"
                found = images if reader.tree.exists(f"{path}/vmlinuz") else rest
                found.setdefault(series, path)
    for name in reader.names("boot"):
        if name.startswith("vmlinuz-") and (series := _series(name.removeprefix("vmlinuz-"))):
            images.setdefault(series, f"boot/{name}")
    for name in reader.names(PRESETS, end=".preset"):
        if preset := _PRESET.fullmatch(name):
            rest.setdefault(f"{preset[1]}.{int(preset[2])}", f"{PRESETS}/{name}")
    for known in (images, rest):
        if known:
            newest = max(known, key=parts)
            return Written(value=newest, place=reader.whole(known[newest]))
    return None


def _series(release: str) -> str:
    found = _SERIES.match(release)
    return f"{int(found[1])}.{int(found[2])}" if found else ""


def qemu(reader: Reader) -> Written[str] | None:
    """The release by pacman's or dpkg's database; None where there is neither or QEMU is not in it."""
    for name in reader.names(_PACMAN):
        if found := _PACMAN_QEMU.match(name):
            return Written(value=found[1], place=reader.whole(f"{_PACMAN}/{name}"))
    data = reader.data(_DPKG, limit=_DPKG_LIMIT)
    if data is None:
        return None
    start = data.find(b"\nPackage: qemu-system-x86\n") + 1
    if not start and not data.startswith(b"Package: qemu-system-x86\n"):
        return None
    end = data.find(b"\n\n", start)
    stanza = data[start : end if end >= 0 else None].decode(errors="replace")
    version = re.search(r"^Version: (?:[0-9]+:)?([0-9]+\.[0-9]+)", stanza, re.M)
    if version is None or "\nStatus: install ok installed" not in stanza:
        return None
    return Written(value=version[1], place=reader.whole(_DPKG))
