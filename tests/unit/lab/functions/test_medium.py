from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.lab.domain import Medium
from pipeline.lab.functions import initramfs, medium, script
from pipeline.lab.functions.tested import Tested
from pipeline.lab.functions.tree import GuestTree

CARD = Tested(vendor=0x1002, device=0x67EF, function=0, bar=5, offset=0x3F000)


def read(disk: Path, name: str) -> bytes:
    return subprocess.run(["mtype", "-i", str(disk), f"::{name}"], check=True, capture_output=True).stdout


@pytest.mark.skipif(shutil.which("mformat") is None, reason="mtools is not installed")
def test_the_disk_has_shell_script_kernel_and_initramfs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(root: Path, functions: tuple[Tested, ...], target: Path, *, patience: float) -> None:
        target.write_bytes(f"{root.name} {len(functions)} {patience}".encode())

    monkeypatch.setattr(initramfs, "write", write)
    shell, kernel, disk = tmp_path / "shell.efi", tmp_path / "vmlinuz", tmp_path / "disk.fat"
    shell.write_bytes(b"MZ shell")
    kernel.write_bytes(bytes(5 << 20))
    linux = medium.Linux(
        tree=GuestTree(kernel=kernel, release="6.12", root=tmp_path / "root", packages={}),
        functions=(CARD,),
        patience=5.0,
    )
    medium.write(medium.boot_files(shell, [(1, 0)], [1], linux, disk) | medium.linux_files(linux, disk), disk)
    assert b"MZ shell" in read(disk, "EFI/BOOT/BOOTX64.EFI")
    assert read(disk, script.KERNEL) == bytes(5 << 20)
    assert read(disk, script.INITRAMFS) == b"root 1 5.0"
    assert read(disk, "startup.nsh").decode() == script.script([(1, 0)], [1], [0])


def test_linux_goes_to_a_hard_disk_where_there_is_one() -> None:
    drive = Medium(path="/a.iso", format="raw", cdrom=True, boot=1)
    disk = Medium(path="/b.qcow2", format="qcow2", cdrom=False, boot=2)
    assert medium.place([drive, drive, disk]) == 2
    assert medium.place([disk, drive]) == 0
    assert medium.place([drive, drive]) == 0
