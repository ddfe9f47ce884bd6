"""UEFI device paths as text (UEFI 2.10, 10.3 and 10.6); nodes that are not known keep their type and bytes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from pipeline.fingerprint.notes import digest, number

_END = 0x7F
_PNP_PCI = {0x0A0341D0: "PciRoot", 0x0A0841D0: "PcieRoot"}


def text(data: bytes) -> str:
    """The first path of `data`: `PciRoot(0x0)/Pci(0x1,0x3)`; empty where there is none."""
    return "/".join(_nodes(data))


def _nodes(data: bytes) -> Iterator[str]:
    at = 0
    while at + 4 <= len(data):
        kind, sub, size = data[at], data[at + 1], number(data, at + 2, 2)
        if kind == _END or size < 4 or at + size > len(data):
            return
        yield _node(kind, sub, data[at + 4 : at + size])
        at += size


def _node(kind: int, sub: int, body: bytes) -> str:
    match kind, sub:
        case 1, 1 if len(body) >= 2:
            return f"Pci({body[1]:#x},{body[0]:#x})"
        case (1, 4) | (3, 10) | (4, 3) if len(body) >= 16:
            name = {1: "VenHw", 3: "VenMsg", 4: "VenMedia"}[kind]
            return f"{name}({_guid(body)})"
        case 2, 1 if len(body) >= 8:
            hid = number(body, 0, 4)
            return f"{_PNP_PCI.get(hid, f'Acpi({hid:#x})')}({number(body, 4, 4):#x})"
        case 3, 2 if len(body) >= 4:
            return f"Scsi({number(body, 0, 2):#x},{number(body, 2, 2):#x})"
        case 3, 5 if len(body) >= 2:
            return f"USB({body[0]:#x},{body[1]:#x})"
        case 3, 11 if len(body) >= 33:
            return f"MAC({body[:6].hex()})"
        case 3, 12:
            return "IPv4"
        case 3, 13:
            return "IPv6"
        case 3, 18 if len(body) >= 6:
            return f"Sata({number(body, 0, 2):#x},{number(body, 2, 2):#x},{number(body, 4, 2):#x})"
        case 3, 23 if len(body) >= 4:
            return f"NVMe({number(body, 0, 4):#x})"
        case 4, 1 if len(body) >= 38:
            return f"HD({number(body, 0, 4)},{digest(body[20:36])})"
        case 4, 2 if len(body) >= 4:
            return f"CDROM({number(body, 0, 4):#x})"
        case 4, 4:
            return body.decode("utf-16-le", errors="replace").rstrip("\0")
        case (4, 6) | (4, 7) if len(body) >= 16:
            return f"{'FvFile' if sub == 6 else 'Fv'}({_guid(body)})"
    return f"Path({kind},{sub},{digest(body) if len(body) > 8 else body.hex()})"


def _guid(body: bytes) -> uuid.UUID:
    return uuid.UUID(bytes_le=body[:16])
