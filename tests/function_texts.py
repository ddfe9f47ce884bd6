"""What a guest tells of its functions, as it came over the serial line."""

from __future__ import annotations

from pipeline.lab.functions.dump import SIZE
from pipeline.lab.functions.script import MIRROR

WELL = {
    "found": "at=0000:01:00.0",
    "bars": "bars=3 words=27 wrong=0",
    "intx": "raised=3 seen=3 asked=3",
    "msi": "raised=3 seen=3 asked=3 vectors=1",
    "dma-read": "status=1 length=2048 differs=-1",
    "dma-write": "status=1 length=2048 differs=-1",
    "blocked-read": "status=2 refused=1 address=0x4000000000",
    "blocked-write": "status=2 refused=1 address=0x4000000000",
    "reset": "ids=0x67ef1002 differs=-1 on=0 before=0x5eed after=0x0",
}
# Linux 6.12 in L1 with QEMU's AMD and Intel IOMMU.
AMD = "AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:00.0 domain=0x0002 address=0x4000000000 flags=0x0000]\n"


def told(name: str, spaces: dict[tuple[int, int], bytes], mirror: int = MIRROR) -> str:
    """As the shell tells it (ran, Debian's efi-shell-x64 of edk2 2025.11)."""
    lines = [f"DRYBOOT-CONFIG {name}", f"0x{mirror | 1:08X}"]
    for (bus, function), space in spaces.items():
        address = MIRROR | bus << 20 | function << 12
        lines.append(f"Memory Address {address:016X} 100 Bytes")
        for at in range(0, SIZE, 16):
            row = space[at : at + 16].hex(" ").upper()
            lines.append(f"  {address + at:08X}: {row[:23]}-{row[24:]}  *................*")
        lines.append("")
    return "\r\n".join([*lines, "DRYBOOT-CONFIG end"]) + "\r\n"
