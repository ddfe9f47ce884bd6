"""What to run after a change."""

from __future__ import annotations

import pytest

from pipeline.lint.afterwards import commands
from tests.machines import machine, setup_of


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["/etc/default/grub"], ["grub-mkconfig -o /boot/grub/grub.cfg"]),
        (["host/etc/default/grub.d/x.cfg"], ["grub-mkconfig -o /boot/grub/grub.cfg"]),
        (["etc/modprobe.d/vfio.conf", "etc/mkinitcpio.conf"], ["mkinitcpio -P"]),
        (
            ["a b/etc/libvirt/qemu/win.xml", "/etc/default/grub", "/etc/mkinitcpio.conf.d/a.conf"],
            [
                "mkinitcpio -P",
                "grub-mkconfig -o /boot/grub/grub.cfg",
                "virsh define 'a b/etc/libvirt/qemu/win.xml'",
            ],
        ),
        (["win10.xml", "usr/local/bin/rebuild", "retc/default/grub"], []),
    ],
)
def test_what_has_to_be_run(files: list[str], expected: list[str]) -> None:
    assert list(commands(machine(), files)) == expected


def test_each_generator_has_its_own() -> None:
    dracut = setup_of({"etc/os-release": "ID=fedora\n", "etc/dracut.conf": ""})
    assert commands(dracut, ["/etc/modprobe.d/a.conf", "/etc/default/grub"]) == (
        "dracut --force --regenerate-all",
        "grub2-mkconfig -o /boot/grub2/grub.cfg",
    )
