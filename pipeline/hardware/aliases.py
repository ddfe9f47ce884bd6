"""Which modules a kernel has for a PCI function, from its modules.alias.

Source: kernel scripts/mod/file2alias.c do_pci_entry(), drivers/pci/pci-driver.c pci_uevent(); depmod(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pipeline.pci import IdPair

_LINE = re.compile(r"alias (pci:v(\*|0000[0-9A-F]{4})\S{0,200}) (\S{1,100})")
# lspci shows the programming interface only with -v; these are what today's devices of the class have.
_INTERFACES = {"0106": "01", "0108": "02", "0c03": "30"}


def full_class(code: str) -> str:
    """A class with its programming interface: what a list left out is taken for the usual one."""
    return code if len(code) != 4 else code + _INTERFACES.get(code, "00")


@dataclass(frozen=True, slots=True)
class Aliases:
    """The patterns for PCI functions by their vendor, in the order of the file."""

    patterns: dict[str, tuple[tuple[str, str], ...]]

    def drivers(self, ids: IdPair, subsystem: IdPair | None, class_code: str) -> tuple[str, ...]:
        """The modules whose patterns match, each once, those that name the device before those for its class."""
        code = full_class(class_code).upper()
        sub = subsystem or IdPair(0, 0)
        name = (
            f"pci:v{ids.vendor:08X}d{ids.device:08X}sv{sub.vendor:08X}sd{sub.device:08X}"
            f"bc{code[0:2]}sc{code[2:4]}i{code[4:6]}"
        )
        known = (*self.patterns.get(f"{ids.vendor:08X}", ()), *self.patterns.get("*", ()))
        return tuple(dict.fromkeys(module for pattern, module in known if fnmatchcase(name, pattern)))


def parse(lines: Iterable[str]) -> Aliases:
    """Read modules.alias; patterns of other buses are passed over."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        if one := _LINE.fullmatch(line):
            found.setdefault(one[2], []).append((one[1], one[3]))
    return Aliases({vendor: tuple(patterns) for vendor, patterns in found.items()})
