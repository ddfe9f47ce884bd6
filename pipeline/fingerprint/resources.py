"""ACPI resource templates as text: what a `_CRS` takes or offers (ACPI 6.5, 6.4.2 and 6.4.3).

An address space has its general and its type-specific flags behind it, in hexadecimal: `memory 0xa0000-0xbffff (c/3)`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.fingerprint.notes import number

_END = 0x0F
_SPACES = {0: "memory", 1: "I/O", 2: "bus"}
_WIDTHS = {0x07: 4, 0x08: 2, 0x0A: 8}
"""Bytes of each number of an address space descriptor, by the type of the large item."""


def items(data: bytes) -> tuple[str, ...] | None:
    """The items of a template in their order; None where `data` is none or has what is not known here."""
    try:
        return tuple(_items(data))
    except _Unknown:
        return None


class _Unknown(Exception):
    """No item that is known."""


def _items(data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        tag = data[at]
        if tag & 0x80:
            size, start = number(data, at + 1, 2), at + 3
            kind = tag & 0x7F
        else:
            size, start = tag & 7, at + 1
            kind = tag >> 3
        body = data[start : start + size]
        if not tag & 0x80 and kind == _END:
            return
        yield _large(kind, body) if tag & 0x80 else _small(kind, body)
        at = start + size
    raise _Unknown  # the end tag is missing


def _small(kind: int, body: bytes) -> str:
    match kind, len(body):
        case 0x04, 2 | 3:
            how = f" flags {body[2]:#x}" if len(body) == 3 else ""
            return f"IRQ {_bits(number(body, 0, 2))}{how}"
        case 0x05, 2:
            return f"DMA {_bits(body[0])}"
        case 0x08, 7:
            first, last, length = number(body, 1, 2), number(body, 3, 2), body[6]
            return f"I/O {first:#x}{f' to {last:#x}' if last != first else ''}, {length} bytes"
        case 0x09, 3:
            return f"I/O {number(body, 0, 2):#x}, {body[2]} bytes"
    raise _Unknown


def _large(kind: int, body: bytes) -> str:
    if kind == 0x06 and len(body) == 9:
        writable = "" if body[0] & 1 else " read-only"
        return f"memory {number(body, 1, 4):#x}, {number(body, 5, 4):#x} bytes{writable}"
    if kind == 0x09 and len(body) >= 2 and len(body) >= 2 + 4 * body[1]:
        lines = " ".join(str(number(body, 2 + 4 * index, 4)) for index in range(body[1]))
        return f"interrupt {lines} flags {body[0]:#x}"
    width = _WIDTHS.get(kind, 0)
    if width and len(body) >= 3 + 5 * width:
        space = _SPACES.get(body[0], f"space {body[0]:#x}")
        first, last, size = (number(body, 3 + width * index, width) for index in (1, 2, 4))
        length = "" if size == last - first + 1 else f", {size:#x} bytes"
        return f"{space} {first:#x}-{last:#x}{length} ({body[1]:x}/{body[2]:x})"
    raise _Unknown


def _bits(mask: int) -> str:
    return " ".join(str(bit) for bit in range(16) if mask >> bit & 1) or "none"
