"""Which distribution the host is, from os-release(5), and what is known of its generation."""

from __future__ import annotations

import shlex

from pipeline.errors import Place
from pipeline.facts import kernels
from pipeline.facts.distributions import Distribution, distribution
from pipeline.facts.version import parts
from pipeline.files.reader import Reader

_FILES = ("etc/os-release", "usr/lib/os-release")
_KNOWN = ("manjaro", "arch", "debian", "fedora")
# Manjaro has Arch's too (filesystem, lsb-release).
_MARKS = {
    "manjaro": "etc/manjaro-release",
    "arch": "etc/arch-release",
    "debian": "etc/debian_version",
    "fedora": "etc/fedora-release",
}
_NEWEST = 2099
_UNKNOWN_KERNEL = "?"


def read(reader: Reader) -> tuple[dict[str, str], Place | None]:
    """The values of os-release and its place; empty and None without one. Quotes are taken off, nothing expanded."""
    text = reader.first(_FILES)
    found: dict[str, str] = {}
    for line in text.lines if text else ():
        name, mark, value = line.strip().partition("=")
        if mark and name.isidentifier():
            try:
                found[name] = "".join(shlex.split(value)[:1])
            except ValueError:
                found[name] = value.strip("\"'")
    return found, text.whole if text else None


def named(values: dict[str, str]) -> str | None:
    """The distribution by ID, else the first of ID_LIKE that is known; the ID where none is."""
    names = [values.get("ID", "").lower(), *values.get("ID_LIKE", "").lower().split()]
    return next((name for name in names if name in _KNOWN), names[0] or None)


def marked(reader: Reader) -> str | None:
    """The distribution by the file that its packages leave in /etc, where there is no os-release."""
    return next((name for name, path in _MARKS.items() if reader.tree.exists(path)), None)


def derived(values: dict[str, str]) -> bool:
    """Whether the host is only like a distribution that is known: its own packages may differ."""
    return bool(values.get("ID")) and values["ID"].lower() not in _KNOWN


def own(values: dict[str, str]) -> str | None:
    """The ID of a derivative whose kernels are known themselves, such as ubuntu; None for every other."""
    name = values.get("ID", "").lower()
    if name in _KNOWN:
        return None
    return name if kernels.known(name) else None


def facts(
    name: str | None, *, year: int | None, kernel: str | None, values: dict[str, str], like: bool
) -> Distribution | None:
    """What is known of the generation of `name`; None where nothing is, or where it is only `like` one.

    Without `year`: Debian's by VERSION_ID; Manjaro's first ended with the kernels of 2022 (6.1), Arch's presets lost
    the fallback when 6.18 was current (packages linux and mkinitcpio); else the newest.
    """
    if name not in _KNOWN or like:
        return None
    try:
        found = distribution(name, year=year or _year(name, kernel, values), kernel=kernel or _UNKNOWN_KERNEL)
    except (LookupError, ValueError):
        return None
    return None if _UNKNOWN_KERNEL in found.kernel_image else found


def _year(name: str, kernel: str | None, values: dict[str, str]) -> int:
    if name == "debian":
        return {"12": 2024, "13": 2025}.get(values.get("VERSION_ID", ""), _NEWEST)
    if kernel and name == "manjaro" and parts(kernel) < (6, 1):
        return 2022
    if kernel and name == "arch" and parts(kernel) < (6, 18):
        return 2025
    return _NEWEST
