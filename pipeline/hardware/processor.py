"""The processor and memory, from copies of /proc/cpuinfo and /proc/meminfo."""

from __future__ import annotations

import re

_VENDORS = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}


def vendor(cpuinfo: str) -> str | None:
    """Who made it: amd, intel, or None."""
    found = re.search(r"^vendor_id[ \t]*:[ \t]*(\S{1,40})", cpuinfo, re.M)
    return _VENDORS.get(found[1]) if found else None


def threads(cpuinfo: str) -> int | None:
    """How many processors Linux sees; None where the text has none."""
    return len(re.findall(r"^processor[ \t]*:", cpuinfo, re.M)) or None


def memory(meminfo: str) -> int | None:
    """Bytes of memory that Linux has."""
    found = re.search(r"^MemTotal:[ \t]*([0-9]{1,15}) kB", meminfo, re.M)
    return int(found[1]) << 10 if found else None
