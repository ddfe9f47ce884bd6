"""Assigned functions that the lab can imitate on one side of a comparison only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from pipeline.facts.version import parts
from pipeline.fingerprint.model import Fingerprint

# The device model by which the fast lane imitates an assigned function, and the first release that has it
# (QEMU docs/system/devices/vfio-user.rst; measured with 7.2, 10.0 and 11.1).
_EMULATED = "vfio-user-pci"
_SINCE = "10.1"
_DEVICE = re.compile(r"devices/((?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])")
_SECTIONS = ("pci", "devices", "interrupts")


def missing(mine: Fingerprint, other: Fingerprint, version: str) -> tuple[str, ...]:
    """The addresses of functions that only the other side has, as QEMU `version` has no model for them."""
    if not _older(version):
        return ()
    found = []
    for path, value in sorted(other.facts.items()):
        match = _DEVICE.fullmatch(path)
        if match and value == _EMULATED and not _has(mine.facts, match[1]):
            found.append(match[1])
    return tuple(found)


def without(mine: Fingerprint, other: Fingerprint, version: str) -> Fingerprint:
    """`mine`, which says that it could not have what is missing: so that is not compared."""
    gone = missing(mine, other, version)
    reason = f"QEMU {version} has no {_EMULATED}, by which the lab imitates an assigned function"
    left_out = {f"{section}/{address}": reason for address in gone for section in _SECTIONS}
    return replace(mine, left_out={**mine.left_out, **left_out}) if gone else mine


def _has(facts: Mapping[str, str], address: str) -> bool:
    return any(
        f"{section}/{address}" in facts or f"{section}/{address}/ids" in facts for section in _SECTIONS
    )


def _older(version: str) -> bool:
    try:
        return parts(version) < parts(_SINCE)
    except ValueError:
        return False
