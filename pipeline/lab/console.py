"""What a booting machine says on its serial line when it cannot go on."""

from __future__ import annotations

import re

from pipeline.lab.payload import clean

# The first that matches names the cause: what is nearer to the hardware comes first.
_ENDS = (
    (r"BdsDxe: No bootable option or device was found", "the firmware found nothing to boot"),
    (r"DRYBOOT: (.+)", "the initramfs gave up: {0}"),
    (r"ALERT!\s+(.+) does not exist\.\s+Dropping to a shell", "the initramfs found no root device {0}"),
    (r"ERROR: device '(.+)' not found", "the initramfs found no root device {0}"),
    (r"Gave up waiting for (root (?:file system )?device)", "the initramfs gave up waiting for the {0}"),
    # dracut-dev-lib.sh wait_for_dev(), dracut-emergency.sh.
    (r'Warning: "?(/[^"\s]+)"? does not exist', "the initramfs gave up: {0} does not exist"),
    (r"Kernel panic - not syncing: (.+)", "the kernel panicked: {0}"),
    (r"Entering (emergency) mode\. Exit the shell", "the initramfs went into {0} mode"),
    (r"You are in (emergency|rescue) mode", "systemd went into {0} mode"),
    (r"^(grub rescue|grub)> ?$", "GRUB stopped at its prompt {0}>"),
)
# Panics over the machine that QEMU is, which no configuration of the host's brings about.
_FAULTS = re.compile(r"Kernel panic - not syncing: (.*(?:timer doesn't work|IO-APIC).*)")
# No configuration makes the kernel do this: a driver that meets an emulated card may (ran: amdgpu, where a BAR had
# another size than the card's). What crashes afterwards is a consequence, in whatever process.
_BUG = re.compile(r"kernel BUG at \S+|BUG: unable to handle \S.*|Oops: general protection fault.*")
# The lab's EFI system partition is a whole disk, which the script 25_bli does not expect.
_GRUB_ERROR = re.compile(r"^error: (?!unable to determine partition UUID)(.+?)\.?$", re.MULTILINE)
_SHOWN = 12


def tidy(text: str) -> str:
    """A serial log without the terminal's control sequences and empty lines."""
    lines = (clean(line) for line in text.splitlines())
    return "\n".join(line for line in lines if line.strip())


def failure(text: str) -> str:
    """Why the machine does not go on, in one line; empty while nothing says that it does not."""
    plain = tidy(text)
    for pattern, cause in _ENDS:
        if match := re.search(pattern, plain, re.MULTILINE):
            found = cause.format(*match.groups())
            said = grub_error(text)
            return f"{found} (GRUB had said: {said})" if said and "GRUB" not in cause else found
    return ""


def fault(text: str) -> str:
    """Why the machine does not go on where that is the lab's doing, not its configuration's; else empty."""
    plain = tidy(text)
    if match := _FAULTS.search(plain):
        return f"the kernel panicked over the lab's machine: {match[1]}"
    bug, panic = _BUG.search(plain), plain.find("Kernel panic - not syncing: ")
    if bug and bug.start() < panic:
        return f"the kernel fell over a driver of an emulated function: {bug[0]}"
    return ""


def grub_error(text: str) -> str:
    """The first error that GRUB printed; it goes on after some of them."""
    match = _GRUB_ERROR.search(tidy(text))
    return match[1] if match else ""


def last_lines(text: str) -> str:
    """The end of what the machine said."""
    return "\n".join(tidy(text).splitlines()[-_SHOWN:])
