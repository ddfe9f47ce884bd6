"""Capabilities of a PCI function, from its config space (PCI 3.0, 6.7; PCIe 5.0, 7.5 to 7.9; QEMU pci_regs.h)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.fingerprint.notes import amount, number
from pipeline.pci import IdPair

Fact = tuple[str, object]

_NAMES = {
    0x01: "PM", 0x02: "AGP", 0x03: "VPD", 0x04: "slot ID", 0x05: "MSI", 0x06: "CompactPCI", 0x07: "PCI-X",
    0x08: "HyperTransport", 0x09: "vendor", 0x0A: "debug port", 0x0C: "hotplug", 0x0D: "SSVID", 0x0E: "AGP 8x",
    0x10: "PCIe", 0x11: "MSI-X", 0x12: "SATA", 0x13: "AF", 0x14: "EA",
}  # fmt: skip
_EXTENDED = {
    0x01: "AER", 0x02: "VC", 0x03: "serial number", 0x04: "power budget", 0x0B: "vendor extended", 0x0D: "ACS",
    0x0E: "ARI", 0x0F: "ATS", 0x10: "SR-IOV", 0x13: "PRI", 0x15: "resizable BAR", 0x17: "TPH", 0x18: "LTR",
    0x19: "secondary PCIe", 0x1B: "PASID", 0x1D: "DPC", 0x1E: "L1 PM", 0x1F: "PTM", 0x23: "DVSEC",
    0x25: "data link feature", 0x26: "16 GT/s", 0x27: "lane margining",
}  # fmt: skip
_PORTS = {
    0: "endpoint", 1: "legacy endpoint", 4: "root port", 5: "upstream port", 6: "downstream port",
    7: "PCIe-to-PCI bridge", 8: "PCI-to-PCIe bridge", 9: "integrated endpoint", 10: "event collector",
}  # fmt: skip
_SPEEDS = {1: "2.5 GT/s", 2: "5 GT/s", 3: "8 GT/s", 4: "16 GT/s", 5: "32 GT/s", 6: "64 GT/s"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Capability:
    """One capability: `facts` have the part of it (empty for the whole) and the value."""

    name: str
    at: int
    facts: tuple[Fact, ...]


def conventional(config: bytes) -> Iterator[Capability]:
    """The list in the first 256 bytes; one that runs in a circle or out of its bounds ends there."""
    if len(config) < 0x40 or not number(config, 6, 2) & 0x10:
        return
    at, seen = config[0x34] & 0xFC, set[int]()
    while 0x40 <= at < min(0x100, len(config) - 1) and at not in seen:
        seen.add(at)
        kind = config[at]
        body = config[at:0x100]
        name = _NAMES.get(kind, f"capability {kind:02x}")
        yield Capability(name=name, at=at, facts=(("", f"at {at:#04x}"), *_decode(kind, body)))
        at = config[at + 1] & 0xFC


def extended(config: bytes) -> Iterator[Capability]:
    """The list from offset 0x100 on, which a conventional function does not have."""
    at, seen = 0x100, set[int]()
    while 0x100 <= at <= len(config) - 4 and at not in seen:
        seen.add(at)
        head = number(config, at, 4)
        kind = head & 0xFFFF
        if head in {0, 0xFFFFFFFF}:
            return
        name = _EXTENDED.get(kind, f"extended capability {kind:04x}")
        body = config[at : at + 0x100]
        place = f"at {at:#05x}, version {head >> 16 & 0xF}"
        yield Capability(name=name, at=at, facts=(("", place), *_decode_extended(kind, body)))
        at = head >> 20 & 0xFFC


def _decode(kind: int, body: bytes) -> Iterator[Fact]:
    match kind:
        case 0x01:
            value = number(body, 2, 2)
            yield "version", value & 7
            yield (
                "PME from",
                " ".join(f"D{state}" for state in range(5) if value >> 11 & 1 << state) or "none",
            )
            yield "no soft reset", bool(number(body, 4, 2) & 8)
        case 0x05:
            control = number(body, 2, 2)
            yield "vectors", 1 << (control >> 1 & 7)
            yield "addresses", "64-bit" if control & 0x80 else "32-bit"
            yield "maskable", bool(control & 0x100)
        case 0x11:
            yield "vectors", (number(body, 2, 2) & 0x7FF) + 1
            for part, offset in (("table", 4), ("pending bits", 8)):
                value = number(body, offset, 4)
                yield part, f"BAR {value & 7} at {value & ~7:#x}"
        case 0x10:
            yield from _pcie(body)
        case 0x09:
            yield "contents", body[2 : max(3, min(body[2], 16)) if len(body) > 2 else 3].hex()
        case 0x0D:
            yield "ids", IdPair(number(body, 4, 2), number(body, 6, 2))
        case 0x13:
            yield "FLR", bool(number(body, 3, 1) & 2)
        case 0x12:
            yield "contents", body[2:8].hex()


def _pcie(body: bytes) -> Iterator[Fact]:
    flags, device, link, status = (number(body, at, size) for at, size in ((2, 2), (4, 4), (12, 4), (18, 2)))
    yield "version", flags & 0xF
    port = flags >> 4 & 0xF
    yield "kind", _PORTS.get(port, f"kind {port}")
    yield "slot", bool(flags & 0x100)
    yield "FLR", bool(device & 1 << 28)
    yield "extended tag", bool(device & 0x20)
    yield "max payload", amount(128 << (device & 7))
    if port not in {9, 10}:
        yield "link at most", _link(link)
        yield "link", _link(status)
        yield "link active is told", bool(link & 1 << 20)
        yield "ASPM", {0: "none", 1: "L0s", 2: "L1", 3: "L0s L1"}[link >> 10 & 3]
    if flags & 0x100:
        yield "slot capabilities", f"{number(body, 20, 4):#010x}"
    if flags & 0xF >= 2:
        yield "device capabilities 2", f"{number(body, 36, 4):#010x}"
        yield "link capabilities 2", f"{number(body, 44, 4):#010x}"


def _link(value: int) -> str:
    speed = value & 0xF
    return f"{_SPEEDS.get(speed, f'speed {speed}')} x{value >> 4 & 0x3F}"


def _decode_extended(kind: int, body: bytes) -> Iterator[Fact]:
    match kind:
        case 0x01:
            yield "uncorrectable mask", f"{number(body, 8, 4):#010x}"
            yield "uncorrectable severity", f"{number(body, 12, 4):#010x}"
            yield "correctable mask", f"{number(body, 20, 4):#010x}"
        case 0x03:
            yield "number", body[4:12][::-1].hex()
        case 0x0D:
            yield "capabilities", f"{number(body, 4, 2):#06x}"
        case 0x0E:
            yield "next function", body[5] if len(body) > 5 else 0
        case 0x10:
            yield "functions", number(body, 14, 2)
            yield "device", f"{number(body, 26, 2):04x}"
        case 0x15:
            for bar in range(min(number(body, 8, 4) >> 5 & 7, 6)):
                control = number(body, 8 + 8 * bar, 4)
                yield f"BAR {control & 7} sizes", f"{number(body, 4 + 8 * bar, 4) >> 4:#x}"
