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
# dracut 106 of Debian 13 with root=UUID=1234-5678, on systemd's init (ran).
DRACUT = """\
\x1b[!p\x1b]104\x07[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \
\x1b[0;1;39minitrd-parse-etc.s…points\x1b[0m Configured in the Real Root.\r
Warning: "/dev/disk/by-uuid/1234-5678" does not exist\r
\r
Generating "/run/initramfs/rdsosreport.txt"\r
\r
\r
Entering emergency mode. Exit the shell to continue.\r
Type "journalctl" to view system logs.\r
"""
# scripts/local of initramfs-tools in Debian 13 (read).
INITRAMFS_TOOLS = """\
Gave up waiting for root file system device.  Common problems:
 - Boot args (cat /proc/cmdline)
   - Check rootdelay= (did the system wait long enough?)
 - Missing modules (cat /proc/modules; ls /dev)
ALERT!  UUID=1234-5678 does not exist.  Dropping to a shell!
"""


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (DRACUT, "the initramfs gave up: /dev/disk/by-uuid/1234-5678 does not exist"),
        (
            "Entering emergency mode. Exit the shell to continue.\r\n",
            "the initramfs went into emergency mode",
        ),
        (INITRAMFS_TOOLS, "the initramfs found no root device UUID=1234-5678"),
        (
            INITRAMFS_TOOLS.partition(" - ")[0],
            "the initramfs gave up waiting for the root file system device",
        ),
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


def test_the_last_lines_have_no_control_sequences() -> None:
    lines = last_lines(DRACUT).splitlines()
    assert lines[0] == "[FAILED] Failed to start initrd-parse-etc.s…points Configured in the Real Root."
    assert lines[1] == 'Warning: "/dev/disk/by-uuid/1234-5678" does not exist'


WORDS = st.sampled_from(["\x1b", "[", "]", "!p", "0;1m", "\x07", "\\", "\n", "error: ", "ALERT!", "grub> "])


@given(st.lists(WORDS | st.text(max_size=5)).map("".join))
def test_no_control_sequence_is_left_of_any_text(text: str) -> None:
    assert "\x1b" not in tidy(text)


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert isinstance(failure(text), str)
    assert isinstance(grub_error(text), str)
    assert "\x1b[" not in last_lines(text)
