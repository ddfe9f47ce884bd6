"""How a host's initramfs is made on L1's file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.lab.board import lay_out
from pipeline.lab.image import HostImage
from pipeline.lab.initcpio.config import read_preset
from pipeline.lab.initramfs import Making, making
from pipeline.lab.run_directory import RunDirectory
from pipeline.plan import resolve
from pipeline.scenario import read


def made(name: str, folder: Path) -> Making:
    plan = resolve(read(name))
    paths = dict.fromkeys(("root", "tree", "kernel", "base", "tiny", "grub"), folder)
    image = HostImage(name="image", release="6.12.1", distribution="Debian 13", packages={}, **paths)
    return making(plan.host, image, lay_out(plan), RunDirectory(folder))


@pytest.mark.parametrize(
    ("name", "preset", "images", "config"),
    [
        ("rx560", "/etc/mkinitcpio.d/linux612.preset", ["default"], ""),
        ("rx560-2019", "/etc/mkinitcpio.d/linux419.preset", ["default", "fallback"], "/etc/mkinitcpio.conf"),
    ],
)
def test_presets_are_those_of_their_year(
    tmp_path: Path, name: str, preset: str, images: list[str], config: str
) -> None:
    path = tmp_path / "preset"
    path.write_bytes(made(name, tmp_path).files[preset].data)
    found = read_preset(path)
    assert [one.name for one in found] == images
    assert {one.config for one in found} == {config}


def test_hosts_of_other_generators_run_the_command_of_their_owner(tmp_path: Path) -> None:
    debian = made("debian-geforce", tmp_path)
    assert debian.step.argv == ("update-initramfs", "-u", "-k", "all")
    assert not debian.step.outside
    # Without an image there is nothing that -u would update.
    assert "/boot/initrd.img-6.12.1" in debian.files
    fedora = made("fedora-dracut", tmp_path)
    assert fedora.step.argv == ("dracut", "--force", "--regenerate-all")
    assert fedora.stand_ins


def test_the_folder_of_unified_kernel_images_is_there(tmp_path: Path) -> None:
    assert "/boot/EFI/Linux/arch-linux.efi" in made("arch-uki", tmp_path).files
