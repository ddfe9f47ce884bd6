"""Unified kernel images: read from small PE files that are made here."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pipeline.lab import unified


def pe(sections: dict[str, bytes]) -> bytes:
    """A PE32+ file with these sections (PE format, sections 3.3, 3.4 and 4)."""
    optional = struct.pack("<HBB5I", 0x20B, 0, 0, 0, 0, 0, 0x1000, 0x1000)
    optional += struct.pack("<QII", 0x140000000, 0x1000, 0x200) + bytes(16)
    optional += struct.pack("<4I", 0, 0x100000, 0x400, 0) + struct.pack("<HH", 10, 0) + bytes(40)
    optional += bytes(0xF0 - len(optional))
    heads, bodies, at = b"", b"", 0x400
    for number, (name, data) in enumerate(sections.items(), start=1):
        padded = data + bytes(-len(data) % 0x200)
        place = struct.pack("<4I", len(data), 0x1000 * number, len(padded), at)
        heads += name.encode().ljust(8, b"\0") + place + bytes(12) + struct.pack("<I", 0x40000040)
        bodies, at = bodies + padded, at + len(padded)
    coff = struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional), 0x22)
    start = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0"
    return (start + coff + optional + heads).ljust(0x400, b"\0") + bodies


UKI = {
    ".osrel": b'ID=arch\nPRETTY_NAME="Arch Linux"\n',
    ".cmdline": b"root=UUID=1 rw \n\0",
    ".linux": b"kernel" * 200,
    ".initrd": b"initramfs",
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "arch.efi"
    path.write_bytes(pe(UKI))
    return path


def test_sections_have_the_size_that_they_say(image: Path) -> None:
    assert unified.sections(image) == UKI


def test_an_entry_has_title_and_command_line(image: Path) -> None:
    found = unified.entry("/boot/EFI/Linux/arch.efi", image)
    assert (found.title, found.identifier, found.parameters) == ("Arch Linux", "arch.efi", "root=UUID=1 rw")


def test_kernel_and_initramfs_come_out(image: Path, tmp_path: Path) -> None:
    kernel, initramfs = unified.unpack(image, tmp_path)
    assert (kernel.read_bytes(), initramfs.read_bytes()) == (UKI[".linux"], UKI[".initrd"])


@pytest.mark.parametrize("data", [b"", b"MZ", b"what was here before\n", pe({".text": b"x"})])
def test_what_is_no_unified_image_is_refused(image: Path, data: bytes) -> None:
    image.write_bytes(data)
    with pytest.raises(ValueError, match=r"no (PE|unified kernel) image"):
        unified.entry("/boot/EFI/Linux/arch.efi", image)
