"""Numbers as libvirt's XML has them: with units, in several bases, and as sets of processors."""

from __future__ import annotations

import re

# Masks of processors have this length (libvirt src/conf/domain_conf.h VIR_DOMAIN_CPUMASK_LEN).
CPUS = 16384

_NUMBER = re.compile(r"0x[0-9a-f]{1,15}|[0-9]{1,18}", re.ASCII)
_SCALES = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_RANGE = re.compile(r"\s*(\^?)\s*([0-9]{1,5})\s*(?:-\s*([0-9]{1,5})\s*)?", re.ASCII)


def number(text: str) -> int:
    """A number as strtoul(3) with base 0 reads it: 0x for hexadecimal, 0 for octal; raises ValueError."""
    lower = text.strip().lower()
    if not _NUMBER.fullmatch(lower):
        raise ValueError(f"{text!r} is not a number")
    if lower.startswith("0x"):
        return int(lower, 16)
    return int(lower, 8 if lower.startswith("0") and len(lower) > 1 else 10)


def decimal(text: str) -> int:
    """A decimal number; raises ValueError."""
    if not re.fullmatch(r"\s*[0-9]{1,18}\s*", text, re.ASCII):
        raise ValueError(f"{text!r} is not a number")
    return int(text)


def scale(unit: str) -> int:
    """The bytes that a unit of memory stands for, in any case of letters; raises ValueError.

    Source: libvirt docs/formatdomain.rst, Memory Allocation; src/util/virutil.c virScaleInteger().
    """
    lower = unit.strip().lower()
    if lower in {"b", "byte", "bytes"}:
        return 1
    power = _SCALES.get(lower[:1])
    if power is None or lower[1:] not in {"", "b", "ib"}:
        raise ValueError(f"{unit!r} is not a unit of memory")
    return int((1000 if lower[1:] == "b" else 1024) ** power)


def cpuset(text: str) -> frozenset[int]:
    """The processors of a set such as `0-3,^2,8`; raises ValueError.

    Source: libvirt src/util/virbitmap.c virBitmapParse(): what follows ^ is taken out of what came before.
    """
    chosen: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"{text!r} is not a set of processors")
        without, first, last = match.groups()
        low, high = int(first), int(last or first)
        if high < low or high >= CPUS or (without and last):
            raise ValueError(f"{text!r} is not a set of processors")
        if without:
            chosen.discard(low)
        else:
            chosen.update(range(low, high + 1))
    return frozenset(chosen)
