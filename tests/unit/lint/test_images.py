"""How the initramfs is made: each rule firing, and silent beside it."""

from dataclasses import replace

import pytest

from pipeline.errors import Place
from pipeline.lint import images
from pipeline.lint.rule import Rule
from pipeline.setup import Setup
from pipeline.setup.model import IgnoredFile
from tests.unit.lint.setups import brief, edits, host, initramfs, line, modprobe, of, words

DRACUT = of("fedora-dracut")


def test_a_drop_in_that_is_not_read() -> None:
    drop_in = IgnoredFile(
        place=Place(file="etc/mkinitcpio.conf.d/vfio.conf"),
        why="the preset sets ALL_config",
        fix="write MODULES into /etc/mkinitcpio.conf",
    )
    assert brief(images.file_ignored, initramfs(of(), ignored=(drop_in,))) == [
        ("warning", "etc/mkinitcpio.conf.d/vfio.conf is not read")
    ]
    assert brief(images.file_ignored, of()) == []


def running(*commands: str, setup: Setup | None = None) -> Setup:
    return host(setup or of(), commands=words(*commands, file="root/update.sh"))


@pytest.mark.parametrize(
    "command",
    [
        "mkinitcpio -g /boot/initramfs-6.12-x86_64.img",
        "sudo /usr/bin/mkinitcpio -c /etc/mkinitcpio.conf --generate=/boot/initramfs-linux.img && reboot",
        "/bin/sh -c 'mkinitcpio -g/boot/a.img'",
    ],
)
def test_an_image_for_the_running_kernel(command: str) -> None:
    ((severity, _),) = brief(images.generated_by_hand, running(command))
    assert severity == "warning"
    whole = [("replace", command, "mkinitcpio -P")] if command.startswith("mkinitcpio") else []
    assert edits(images.generated_by_hand, running(command)) == whole


@pytest.mark.parametrize(
    "command",
    [
        "mkinitcpio -P",
        "mkinitcpio -p linux612",
        "mkinitcpio -k 6.12.1-1-MANJARO -g /boot/initramfs-6.12-x86_64.img",
        "mkinitcpio --kernel=6.12.1 --generate=/boot/a.img",
        "echo mkinitcpio -g /boot/a.img",
        "mkinitcpio -g 'unbalanced",
    ],
)
def test_an_image_for_the_right_kernel(command: str) -> None:
    assert brief(images.generated_by_hand, running(command)) == []


@pytest.mark.parametrize(
    ("command", "which", "whole"),
    [
        ("update-initramfs -u", "the newest kernel", "update-initramfs -u -k all"),
        ("dracut -f", "the running kernel", "dracut --force --regenerate-all"),
        ("dracut --force -v", "the running kernel", "dracut --force --regenerate-all"),
    ],
)
def test_one_kernel_of_several(command: str, which: str, whole: str) -> None:
    setup = running(command, setup=DRACUT)
    assert brief(images.one_kernel_only, setup) == [
        ("note", f"{command} makes the initramfs of {which} alone")
    ]
    assert edits(images.one_kernel_only, setup) == [("replace", command, whole)]


@pytest.mark.parametrize(
    "command",
    [
        "update-initramfs -u -k all",
        "update-initramfs -ukall",
        "update-initramfs -c -k 6.12.0",
        "dracut --force --regenerate-all",
        "dracut -f /boot/initramfs-6.17.img 6.17.4",
        "dracut --force --kver 6.17.4",
        "dracut --print-cmdline",
        "mkinitcpio -P",
    ],
)
def test_every_kernel_or_a_named_one(command: str) -> None:
    assert brief(images.one_kernel_only, running(command)) == []


GENERIC = initramfs(DRACUT, host_only=False)


def test_a_generic_image_has_no_modprobe_d() -> None:
    setup = modprobe(GENERIC, ids_where=Place(file="etc/modprobe.d/vfio.conf", line=1))
    assert brief(images.modprobe_left_out, setup) == [
        ("error", "vfio.conf is not in the image: dracut makes one with hostonly=no")
    ]
    brought = initramfs(setup, files=words("/etc/modprobe.d/vfio.conf"))
    on_line = line(setup, "vfio-pci.ids=1002:73ff,1002:ab28")
    for silent in (
        initramfs(setup, host_only=None),
        initramfs(setup, host_only=True),
        initramfs(setup, generator="mkinitcpio"),
        modprobe(setup, vfio_ids=()),
        host(setup, until_guest_starts=True),
        brought,
        on_line,
    ):
        assert brief(images.modprobe_left_out, silent) == []
    assert len(brief(images.modprobe_left_out, line(setup, "vfio-pci.ids=1002:73ff"))) == 1


@pytest.mark.parametrize("rule", images.RULES, ids=lambda rule: str(rule.code))
def test_silent_where_nothing_is_known(rule: Rule) -> None:
    assert brief(rule, replace(host(of(), initramfs=None, modprobe=None), board=None)) == []
