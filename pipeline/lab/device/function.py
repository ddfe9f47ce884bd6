"""What an emulated PCI function is: ids, class, BARs, interrupts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any


class BarKind(Enum):
    """How a base address register decodes; the 64-bit ones take two slots."""

    MEM32 = "mem32"
    MEM64 = "mem64"
    MEM64_PREFETCHABLE = "mem64-prefetchable"
    IO = "io"

    @property
    def flags(self) -> int:
        """The read-only low bits (include/uapi/linux/pci_regs.h PCI_BASE_ADDRESS_*)."""
        return {"mem32": 0x0, "mem64": 0x4, "mem64-prefetchable": 0xC, "io": 0x1}[self.value]

    @property
    def memory(self) -> bool:
        """Whether it decodes memory, not I/O."""
        return self is not BarKind.IO

    @property
    def wide(self) -> bool:
        """Whether it is 64 bits wide."""
        return self in {BarKind.MEM64, BarKind.MEM64_PREFETCHABLE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A base address register: index 0 to 5, size in bytes (a power of two)."""

    index: int
    size: int
    kind: BarKind

    def __post_init__(self) -> None:
        smallest = 4 if self.kind is BarKind.IO else 16
        largest = 256 if self.kind is BarKind.IO else (1 << 40 if self.kind.wide else 1 << 31)
        if not 0 <= self.index <= (4 if self.kind.wide else 5):
            raise ValueError(f"bars: index {self.index} is not one of 0 to 5 (0 to 4 for a 64-bit one)")
        if self.size & (self.size - 1) or not smallest <= self.size <= largest:
            raise ValueError(f"bars: size {self.size} of BAR {self.index} is not a power of two in its range")


# What a function can be made to do wrong, so that the checks of a function are seen to fail.
NO_INTX = "no-intx"
NO_MSI = "no-msi"
DMA_WRONG_ADDRESS = "dma-wrong-address"
IGNORES_BLOCKED_DMA = "ignores-blocked-dma"
BAR_STUCK = "bar-stuck"
LOST_AFTER_RESET = "lost-after-reset"
DEFECTS = {
    NO_INTX: "the line is never asserted, though the function counts it",
    NO_MSI: "no message is ever sent, though the function counts it",
    DMA_WRONG_ADDRESS: "transfers go 64 bytes beside the address",
    IGNORES_BLOCKED_DMA: "a transfer that was refused is reported as done",
    BAR_STUCK: "what is written behind a BAR is lost",
    LOST_AFTER_RESET: "a reset after its test registers were used leaves all ones in configuration space, until the "
    "server is started anew; resets before the first use do no harm, as with the cards that have this",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionSpec:
    """One PCI function. `class_code` has 24 bits; `interrupt_pin` is 0 (none) to 4 (INTD).

    `integrated`: it is an endpoint of the root complex. On bus 0 QEMU shows the PCI Express capability of such
    a one only, and gives it the type that it has there (hw/vfio/pci.c vfio_setup_pcie_cap()).
    `broken`: names of DEFECTS. Raises ValueError that names the field.
    """

    name: str
    vendor_id: int
    device_id: int
    class_code: int
    subsystem_vendor_id: int
    subsystem_id: int
    revision: int
    bars: tuple[Bar, ...]
    interrupt_pin: int
    multifunction: bool
    msi_vectors: int
    flr: bool = True
    integrated: bool = False
    broken: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_id"):
            if not 0 <= getattr(self, name) <= 0xFFFF:
                raise ValueError(f"{name}: not a 16-bit id")
        if not 0 <= self.class_code <= 0xFFFFFF:
            raise ValueError("class_code: not 24 bits")
        if not 0 <= self.revision <= 0xFF:
            raise ValueError("revision: not 8 bits")
        if not 0 <= self.interrupt_pin <= 4:
            raise ValueError("interrupt_pin: not 0 to 4")
        if self.msi_vectors not in {0, 1, 2, 4, 8, 16, 32}:
            raise ValueError("msi_vectors: not 0 or a power of two up to 32")
        if unknown := self.broken - set(DEFECTS):
            raise ValueError(f"broken: {min(unknown)!r} is none of {', '.join(DEFECTS)}")
        if not self.name or "/" in self.name or "\0" in self.name or self.name.startswith("."):
            raise ValueError("name: not a file name")
        slots = [slot for bar in self.bars for slot in range(bar.index, bar.index + 1 + bar.kind.wide)]
        if len(slots) != len(set(slots)):
            raise ValueError("bars: two BARs overlap (a 64-bit one takes two slots)")


def to_json(specs: Sequence[FunctionSpec]) -> str:
    """The functions as text that `from_json` reads."""
    values = [asdict(spec) for spec in specs]
    for value in values:
        value["broken"] = sorted(value["broken"])
        for bar in value["bars"]:
            bar["kind"] = bar["kind"].value
    return json.dumps(values, indent=1)


def from_json(text: str) -> tuple[FunctionSpec, ...]:
    """Read functions; raises ValueError that names the key which is wrong."""
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(values, list):
        raise ValueError("not a list of functions")
    functions = tuple(_function(value) for value in values)
    if len({function.name for function in functions}) != len(functions):
        raise ValueError("name: two functions have the same")
    return functions


def _function(value: Any) -> FunctionSpec:
    wanted = {field.name: field.type for field in fields(FunctionSpec)}
    _keys(value, set(wanted), "function")
    for name, kind in wanted.items():
        types = {"int": int, "str": str, "bool": bool}
        if str(kind) in types and type(value[name]) is not types[str(kind)]:
            raise ValueError(f"{name}: not of type {kind}")
    if not isinstance(value["bars"], list):
        raise ValueError("bars: not a list")
    bars = tuple(_bar(bar) for bar in value["bars"])
    return FunctionSpec(**{**value, "bars": bars, "broken": _broken(value["broken"])})


def _broken(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("broken: not a list of names")
    return frozenset(value)


def _bar(value: Any) -> Bar:
    _keys(value, {"index", "size", "kind"}, "bars")
    if type(value["index"]) is not int or type(value["size"]) is not int:
        raise ValueError("bars: index and size are whole numbers")
    try:
        kind = BarKind(value["kind"])
    except ValueError:
        raise ValueError(f"bars: no kind {value['kind']!r}") from None
    return Bar(index=value["index"], size=value["size"], kind=kind)


def _keys(value: Any, wanted: set[str], what: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{what}: not a mapping")
    if wrong := wanted.symmetric_difference(value):
        raise ValueError(f"{what}: key {min(map(str, wrong))!r} is missing or not known")
