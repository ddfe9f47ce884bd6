"""Names of PCI things: addresses of functions and vendor:device pairs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_ADDRESS = re.compile(r"(?:([0-9a-f]{4}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")
_PAIR = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4})")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """The address of a PCI function, `domain:bus:device.function` as lspci prints it."""

    domain: int
    bus: int
    device: int
    function: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `01:00.0` or `0000:01:00.0`; raises ValueError on anything else."""
        match = _ADDRESS.fullmatch(text.lower())
        if match is None:
            raise ValueError(f"{text!r} is not a PCI address such as 01:00.0")
        domain, bus, device, function = match.groups()
        return cls(int(domain or "0", 16), int(bus, 16), int(device, 16), int(function, 16))

    @property
    def slot(self) -> tuple[int, int, int]:
        """Domain, bus and device: what the functions of one card share."""
        return (self.domain, self.bus, self.device)

    @property
    def full(self) -> str:
        """The name in sysfs: `0000:01:00.0`."""
        return f"{self.domain:04x}:{self}" if not self.domain else str(self)

    def __str__(self) -> str:
        short = f"{self.bus:02x}:{self.device:02x}.{self.function:x}"
        return f"{self.domain:04x}:{short}" if self.domain else short


@dataclass(frozen=True, slots=True, order=True)
class IdPair:
    """Two 16-bit ids: vendor and device, or subsystem vendor and subsystem."""

    vendor: int
    device: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `1002:67ef`; raises ValueError on anything else."""
        match = _PAIR.fullmatch(text.lower())
        if match is None:
            raise ValueError(f"{text!r} is not a pair of ids such as 1002:67ef")
        return cls(int(match[1], 16), int(match[2], 16))

    def __str__(self) -> str:
        return f"{self.vendor:04x}:{self.device:04x}"
