"""What a boot loader offers and starts from; disks are real FAT images."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.lab import loader
from pipeline.lab.apply import LAB_PARAMETERS, Applied
from pipeline.lab.grub import Entry
from pipeline.lab.image import HostImage
from pipeline.lab.loader import Files
from pipeline.lab.overlay import Put
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.sandbox import StepDone

ARCH = """# a comment
title   Arch Linux
linux   /vmlinuz-linux
initrd  /amd-ucode.img
initrd  /initramfs-linux.img
options root=UUID=1 rw
options quiet
"""
SYSTEMD_BOOT = {
    "/boot/loader/loader.conf": "timeout 3\ndefault arch.conf\n",
    "/boot/loader/entries/arch.conf": ARCH,
    "/boot/loader/entries/aaa.conf": "linux /other\n",
    "/boot/loader/entries/notes.txt": "linux /none\n",
    "/boot/vmlinuz-linux": "kernel",
    "/boot/grub/x.mod": "module",
    "/etc/default/grub": "",
}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    (tmp_path / "run").mkdir()
    return RunDirectory(tmp_path / "run")


def files(tmp_path: Path, texts: dict[str, str]) -> Files:
    found = {}
    for number, (path, text) in enumerate(texts.items()):
        source = tmp_path / f"file{number}"
        source.write_text(text)
        found[path] = Put(source=source)
    program = tmp_path / "tree/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
    program.parent.mkdir(parents=True)
    program.write_text("systemd-boot")
    (tmp_path / "tree/etc").mkdir()
    (tmp_path / "tree/etc/own").write_text("the image's own")
    (tmp_path / "grub.efi").write_text("grub")
    image = HostImage(
        name="image",
        root=tmp_path,
        tree=tmp_path / "tree",
        kernel=tmp_path,
        release="6.12",
        base=tmp_path,
        tiny=tmp_path,
        grub=tmp_path / "grub.efi",
        distribution="Debian 13",
        packages={},
    )
    done = StepDone(status=0, output="")
    applied = Applied(files=found, removed=("/etc/gone",), initramfs=done, loader=None, stand_ins=())
    return Files(applied=applied, image=image)


def on_disk(run: RunDirectory, path: str) -> str:
    argv = ["mtype", "-i", str(run.path / "esp.fat"), f"::{path}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_a_file_is_the_applied_one_else_the_image_s_unless_it_is_gone(tmp_path: Path) -> None:
    found = files(tmp_path, {"/etc/x": "applied"})
    assert found.text("/etc/x") == "applied"
    assert found.text("/etc/own") == "the image's own"
    assert found.source("/etc/gone") is None
    assert found.text("/etc/none") == ""


def test_entries_of_systemd_boot_are_read_with_the_default_first(tmp_path: Path) -> None:
    found = loader.menu("systemd-boot", files(tmp_path, SYSTEMD_BOOT))
    assert found[0] == Entry(
        title="Arch Linux",
        identifier="arch",
        kernel="/boot/vmlinuz-linux",
        parameters="root=UUID=1 rw quiet",
        initrds=("/boot/amd-ucode.img", "/boot/initramfs-linux.img"),
    )
    assert [entry.identifier for entry in found] == ["arch", "aaa"]


def test_entries_of_grub_are_those_of_its_configuration(tmp_path: Path) -> None:
    text = "menuentry 'x' --id 'y' {\n linux /boot/k a\n}\n"
    (found,) = loader.menu("grub", files(tmp_path, {"/boot/grub/grub.cfg": text}))
    assert (found.identifier, found.kernel) == ("y", "/boot/k")


def test_grub_starts_from_a_disk_of_its_own(tmp_path: Path, run: RunDirectory) -> None:
    arguments = loader.disk("grub", files(tmp_path, SYSTEMD_BOOT), run)
    assert on_disk(run, "EFI/BOOT/BOOTX64.EFI") == "grub"
    assert "-smbios" not in arguments


def test_systemd_boot_starts_from_a_disk_with_the_kernel_and_is_told_the_lab_s_parameters(
    tmp_path: Path, run: RunDirectory
) -> None:
    arguments = loader.disk("systemd-boot", files(tmp_path, SYSTEMD_BOOT), run)
    assert on_disk(run, "EFI/BOOT/BOOTX64.EFI") == "systemd-boot"
    assert on_disk(run, "vmlinuz-linux") == "kernel"
    assert on_disk(run, "loader/entries/arch.conf") == ARCH
    with pytest.raises(subprocess.CalledProcessError):
        on_disk(run, "grub/x.mod")
    told = arguments[arguments.index("-smbios") + 1]
    assert told == f"type=11,value=io.systemd.boot.kernel-cmdline-extra={LAB_PARAMETERS}"
    assert "," not in LAB_PARAMETERS


def test_grub_is_told_once_which_entry_to_boot(tmp_path: Path, run: RunDirectory) -> None:
    found = loader.boot_once("grub", "without-passthrough", files(tmp_path, {}), run)
    block = found.text("/boot/grub/grubenv")
    assert block.startswith("# GRUB Environment Block\nnext_entry=without-passthrough\n#")
    assert len(block) == 1024


def test_systemd_boot_s_default_becomes_the_entry_to_boot(tmp_path: Path, run: RunDirectory) -> None:
    found = loader.boot_once("systemd-boot", "aaa", files(tmp_path, SYSTEMD_BOOT), run)
    assert found.text("/boot/loader/loader.conf") == "timeout 3\ndefault aaa.conf\n"
    assert loader.menu("systemd-boot", found)[0].identifier == "aaa"
