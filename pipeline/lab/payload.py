"""What L2 boots: a UEFI shell with a script that tells over the serial line what the guest sees."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pycdlib

from pipeline.lab import fat
from pipeline.lab.launcher import launcher
from pipeline.pci import IdPair

# What OVMF says when it has nothing to boot (MdeModulePkg/Universal/BdsDxe); then waiting longer is no use.
GAVE_UP = ("No bootable option or device was found", "Press any key to enter the Boot Manager Menu")
BEGIN, END = "DRYBOOT-BEGIN", "DRYBOOT-END"
_PORT = "DRYBOOT-PORT"
_FAT_KIB = 2880
# No countdown before startup.nsh, and no list of the file systems (UEFI Shell 2.2, 3.2).
_OPTIONS = "shell -nomap -nointerrupt"
# Control sequences and operating system commands (ECMA-48, 5.4 and 5.6); what is cut off goes without its rest.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))?")
_ADDRESS = re.compile(r"^\s*([0-9A-F]{2})\s+([0-9A-F]{2})\s+([0-9A-F]{2})\s+([0-9A-F]{2}) ==>")
_IDS = re.compile(r"Vendor ([0-9A-F]{4}) Device ([0-9A-F]{4})")


def script(ports: Sequence[tuple[int, int]]) -> str:
    """The shell script: PCI functions, SMBIOS, and the bus numbers of each root port (slot, function)."""
    return text([*report_lines(ports), "reset -s"])


def report_lines(ports: Sequence[tuple[int, int]]) -> list[str]:
    """What of the script tells the report that `read` reads."""
    return [*questions(ports), f"echo {END}"]


def questions(ports: Sequence[tuple[int, int]]) -> list[str]:
    """The same without its end."""
    lines = [f"echo {BEGIN}", "ver", "pci", "smbiosview -t 0", "smbiosview -t 1"]
    for slot, function in ports:
        lines.append(f"echo {_PORT} {slot:02X} {function:X}")
        # Offset 0x18 of a bridge: primary, secondary and subordinate bus (PCI-to-PCI Bridge 1.2, 3.2.5).
        lines.append(f"mm 00{slot:02X}{function:02X}18 -w 4 -PCI -n")
    return lines


def text(lines: Sequence[str]) -> str:
    """The script of these lines."""
    return "\r\n".join(("@echo -off", *lines)) + "\r\n"


Script = Callable[[Sequence[tuple[int, int]]], str]


def boot_program(shell: Path) -> bytes:
    """What the firmware finds on the disk: the UEFI shell, told to run startup.nsh at once."""
    return launcher(shell.read_bytes(), _OPTIONS)


def fat_image(shell: Path, script: str, target: Path) -> None:
    """A FAT disk that boots the shell, which at once runs the script."""
    fat.make(target, boot_files(shell, script, target), size=_FAT_KIB << 10)


def boot_files(shell: Path, script: str, beside: Path) -> dict[str, Path]:
    """What such a disk holds, by the paths on it; the files are made beside `beside`."""
    startup, program = beside.with_suffix(".nsh"), beside.with_suffix(".efi")
    startup.write_text(script, newline="")
    program.write_bytes(boot_program(shell))
    return {"EFI/BOOT/BOOTX64.EFI": program, "startup.nsh": startup}


def boot_iso(disk: Path, target: Path) -> None:
    """A CD image that boots the FAT `disk` by UEFI (El Torito, platform 0xEF)."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3)
    data = disk.read_bytes()
    iso.add_fp(io.BytesIO(data), len(data), "/EFI.IMG;1")
    iso.add_eltorito("/EFI.IMG;1", bootcatfile="/BOOT.CAT;1", efi=True, platform_id=0xEF, media_name="noemul")
    iso.write(str(target))
    iso.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestFunction:
    """A PCI function as the guest's firmware lists it."""

    bus: int
    device: int
    function: int
    ids: IdPair


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What the script said; `complete` only if it came to its end."""

    complete: bool
    firmware: str
    machine: str
    functions: tuple[GuestFunction, ...]
    port_buses: tuple[int, ...]

    @property
    def is_ovmf(self) -> bool:
        """Whether the firmware calls itself so, as edk2 of today or of 2022 does."""
        return "EDK II" in self.firmware or "EFI Development Kit" in self.firmware


def clean(line: str) -> str:
    """A line of the serial log without the terminal's control sequences."""
    return _ESCAPES.sub("", line).replace("\r", "").rstrip()


def read(text: str) -> Report:
    """Read the script's output from a serial log."""
    lines = [clean(line) for line in text.splitlines()]
    functions: list[GuestFunction] = []
    buses: list[int] = []
    fields: dict[str, str] = {}
    place: re.Match[str] | None = None
    port = False
    for line in lines:
        if match := _ADDRESS.match(line):
            place = match
        elif place and (match := _IDS.search(line)):
            _, bus, device, function = (int(number, 16) for number in place.groups())
            ids = IdPair(int(match[1], 16), int(match[2], 16))
            functions.append(GuestFunction(bus=bus, device=device, function=function, ids=ids))
            place = None
        elif line.startswith(_PORT):
            port = True
        elif port and (match := re.search(r"0x([0-9A-F]{8})\s*$", line)):
            buses.append(int(match[1], 16) >> 8 & 0xFF)
            port = False
        elif match := re.match(r"\s*(Vendor|BIOS Version|ProductName|Version): (.+)$", line):
            name = "Version" if match[1] == "Version" and "ProductName" in fields else match[1]
            if match[1] != "Version" or "ProductName" in fields:
                fields.setdefault(name, match[2].strip())
    return Report(
        complete=any(line.startswith(END) for line in lines),
        firmware=" ".join(filter(None, (fields.get("Vendor"), fields.get("BIOS Version")))),
        machine=fields.get("Version", ""),
        functions=tuple(functions),
        port_buses=tuple(buses),
    )
