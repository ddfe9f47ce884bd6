"""What programs say when they cannot go on, in their own words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.console import failure, grub_error, last_lines, tidy

HEALTHY = """\
\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: loading Boot0001 "UEFI Non-Block Boot Device" from PciRoot(0x0)/Pci(0x1D,0x1)
BdsDxe: starting Boot0001 "UEFI Non-Block Boot Device" from PciRoot(0x0)/Pci(0x1D,0x1)
error: unable to determine partition UUID of boot device.
\x1b[0m\x1b[30m\x1b[40m  Booting `Manjaro GNU/Linux'

Loading Linux 6.12-x86_64 ...
Loading initial ramdisk ...
[    3.285798] irqbypass: module verification failed: signature and/or required key missing - tainting kernel
DRYBOOT-READY
"""


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("BdsDxe: No bootable option or device was found.\r\n", "the firmware found nothing to boot"),
        (
            "\nerror: no such device: dryboot.\nGNU GRUB  version 2.12\n\ngrub> ",
            "GRUB stopped at its prompt grub>",
        ),
        (
            "error: unknown filesystem.\nEntering rescue mode...\ngrub rescue> \n",
            "GRUB stopped at its prompt grub rescue>",
        ),
        (
            "[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n",
            "the kernel panicked: VFS: Unable to mount root fs on unknown-block(0,0)",
        ),
        (
            "DRYBOOT: no root device /dev/disk/by-uuid/1\n",
            "the initramfs gave up: no root device /dev/disk/by-uuid/1",
        ),
        (
            "ALERT!  UUID=1 does not exist.  Dropping to a shell!\n",
            "the initramfs found no root device UUID=1",
        ),
        (
            "ERROR: device 'UUID=1' not found. Skipping fsck.\n",
            "the initramfs found no root device UUID=1",
        ),
        (
            "dracut-initqueue[250]: Warning: /dev/disk/by-uuid/1 does not exist\n",
            "the initramfs gave up: /dev/disk/by-uuid/1 does not exist",
        ),
        ("You are in emergency mode. After logging in\n", "systemd went into emergency mode"),
    ],
)
def test_the_cause_is_named(said: str, cause: str) -> None:
    assert failure(said) == cause


def test_a_healthy_boot_is_no_failure() -> None:
    assert failure(HEALTHY) == ""
    assert grub_error(HEALTHY) == ""


def test_a_panic_after_an_error_of_grub_names_both() -> None:
    said = (
        HEALTHY.replace("Loading initial", "error: file `/boot/x.img' not found.\nLoading initial")
        + "Kernel panic - not syncing: VFS: Unable to mount root fs"
    )
    assert failure(said).endswith("root fs (GRUB had said: file `/boot/x.img' not found)")


def test_the_last_lines_are_those_that_say_something() -> None:
    said = "".join(f"line {number}\r\n\r\n" for number in range(40))
    assert last_lines(said).splitlines() == [f"line {number}" for number in range(28, 40)]
    assert "\x1b" not in tidy(HEALTHY)


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert isinstance(failure(text), str)
    assert isinstance(grub_error(text), str)
    assert "\x1b[" not in last_lines(text)
