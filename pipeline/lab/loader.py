"""The boot loader of L1: what it would boot, and the disk that the firmware starts it from.

Source: UAPI Boot Loader Specification (type 1 entries), systemd-boot(7), smbios-type-11(7).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.lab import fat, grub
from pipeline.lab.apply import LAB_PARAMETERS, Applied
from pipeline.lab.board import DISK_SLOT
from pipeline.lab.grub import Entry
from pipeline.lab.image import HostImage
from pipeline.lab.overlay import Put
from pipeline.lab.run_directory import RunDirectory

GRUB_CFG = "/boot/grub/grub.cfg"
_ENTRIES = "/boot/loader/entries/"
_LOADER_CONF = "/boot/loader/loader.conf"
_GRUBENV = "/boot/grub/grubenv"
_SYSTEMD_BOOT = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
_REMOVABLE = "EFI/BOOT/BOOTX64.EFI"
_GRUB_SIZE = 4 << 20
_ROOM = 16 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """What L1's file system has: what was applied over the image's own."""

    applied: Applied
    image: HostImage

    def source(self, path: str) -> Path | None:
        """Where the contents of an absolute path are, None where there is no such file."""
        if path in self.applied.files:
            return self.applied.files[path].source
        below = self.image.tree / path.lstrip("/")
        return below if path not in self.applied.removed and below.is_file() else None

    def text(self, path: str) -> str:
        """The contents as text, empty where there is no such file."""
        source = self.source(path)
        return source.read_text(errors="replace") if source else ""

    def below(self, folder: str) -> dict[str, Put]:
        """Applied files below a folder (with its slash), by absolute path."""
        return {path: put for path, put in self.applied.files.items() if path.startswith(folder)}


def menu(bootloader: str, files: Files) -> tuple[Entry, ...]:
    """What the loader offers, the default first."""
    if bootloader == "grub":
        return grub.entries(files.text(GRUB_CFG))
    found = [
        type1(path, files.text(path)) for path in sorted(files.below(_ENTRIES)) if path.endswith(".conf")
    ]
    default = re.search(r"^default\s+(\S+)", files.text(_LOADER_CONF), re.MULTILINE)
    wanted = default[1].removesuffix(".conf") if default else ""
    return tuple(sorted(found, key=lambda entry: entry.identifier != wanted))


def boot_once(bootloader: str, entry: str, files: Files, run: RunDirectory) -> Files:
    """`files` with what makes the loader boot `entry`: as grub-reboot does it, or as systemd-boot's default."""
    path = run.path / "boot-once"
    if bootloader == "grub":
        # lib/envblk.c: a block of 1024 bytes, filled up with number signs (util/grub-reboot.in).
        block = f"# GRUB Environment Block\nnext_entry={entry}\n".encode()
        path.write_bytes(block.ljust(1024, b"#"))
        put = {_GRUBENV: Put(source=path)}
    else:
        path.write_text(re.sub(r"(?m)^default\s.*$", f"default {entry}.conf", files.text(_LOADER_CONF)))
        put = {_LOADER_CONF: Put(source=path)}
    return replace(files, applied=replace(files.applied, files={**files.applied.files, **put}))


def type1(path: str, text: str) -> Entry:
    """A boot loader entry file; its paths are below /boot, where the EFI system partition is."""
    keys: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key and not key.startswith("#"):
            keys.setdefault(key, []).append(value.strip())
    name = path.rpartition("/")[2].removesuffix(".conf")
    return Entry(
        title=" ".join(keys.get("title", [name])),
        identifier=name,
        kernel=f"/boot/{keys.get('linux', [''])[0].lstrip('/')}",
        parameters=" ".join(keys.get("options", ())),
        initrds=tuple(f"/boot/{value.lstrip('/')}" for value in keys.get("initrd", ())),
    )


def disk(bootloader: str, files: Files, run: RunDirectory) -> tuple[str, ...]:
    """QEMU's arguments for an EFI system partition with the loader, as a disk of its own."""
    esp = run.path / "esp.fat"
    contents = _contents(bootloader, files)
    size = (
        _GRUB_SIZE if bootloader == "grub" else _ROOM + sum(path.stat().st_size for path in contents.values())
    )
    fat.make(esp, contents, size=size)
    arguments = (
        *("-blockdev", f"driver=file,filename={esp.name},node-name=esp"),
        *("-device", f"virtio-blk-pci,drive=esp,addr={DISK_SLOT:x}.1,bootindex=0,romfile="),
    )
    if bootloader == "grub":
        return arguments
    # systemd-boot reads more of the command line from SMBIOS, so the owner's entries stay as they are.
    return (*arguments, "-smbios", f"type=11,value=io.systemd.boot.kernel-cmdline-extra={LAB_PARAMETERS}")


def _contents(bootloader: str, files: Files) -> Mapping[str, Path]:
    if bootloader == "grub":
        return {_REMOVABLE: files.image.grub}
    found = {
        path.removeprefix("/boot/"): put.source
        for path, put in files.below("/boot/").items()
        if put.source is not None and not path.startswith("/boot/grub/")
    }
    return {**found, _REMOVABLE: files.image.tree / _SYSTEMD_BOOT}
