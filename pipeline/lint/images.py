"""DB304-DB307: what makes the initramfs, for which kernels, and what it leaves out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from pipeline.lint.command_line import given
from pipeline.lint.edit import Edit, replace
from pipeline.lint.finding import Severity
from pipeline.lint.ids import takes
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.lint.shell import calls, has, program
from pipeline.plan.model import Written
from pipeline.setup import Setup


@rule(
    "DB304",
    holds="mkinitcpio from 36 on, dracut and initramfs-tools",
    source="mkinitcpio(8): with -c, or a preset that names a configuration, drop-ins are not read; dracut.conf(5)",
)
def file_ignored(setup: Setup) -> Iterator[Problem]:
    """A configuration file is not read.

    Drop-ins in /etc/mkinitcpio.conf.d are silently passed over when the preset sets ALL_config or default_config, or
    when mkinitcpio is called with -c; in every directory of that kind a file needs the right ending.
    """
    initramfs = setup.host.initramfs
    for ignored in initramfs.ignored if initramfs else ():
        yield Problem(
            severity=Severity.WARNING,
            place=ignored.place,
            found=f"{ignored.place.file} is not read",
            why=ignored.why,
            fix=ignored.fix,
        )


@rule(
    "DB305",
    holds="mkinitcpio, every release",
    source="mkinitcpio(8) -g, -k, -P; measured with v41",
)
def generated_by_hand(setup: Setup) -> Iterator[Problem]:
    """An image is made by its name, but not for the kernel that the name says.

    `mkinitcpio -g /boot/initramfs-6.12-x86_64.img` makes an image for the kernel that is running, whatever the name
    says, and leaves all other images as they are. `mkinitcpio -P` makes those of all presets.
    """
    for command in setup.host.commands:
        for words in calls(command.value):
            by_hand = program(words) == "mkinitcpio" and has(words, "-g", "--generate")
            if by_hand and not has(words, "-k", "--kernel"):
                yield Problem(
                    severity=Severity.WARNING,
                    place=command.place,
                    found="mkinitcpio -g without -k makes an image for the running kernel, whatever its name says",
                    why="after an update of the kernel it holds modules of another release, and the images of other "
                    "kernels stay as they were",
                    fix="write mkinitcpio -P",
                    edits=_whole(command, words, "mkinitcpio -P"),
                )


def _whole(command: Written[str], words: tuple[str, ...], new: str) -> tuple[Edit, ...]:
    """The edit that writes `new`, where the command is nothing but this one call."""
    return (replace(command, new),) if command.value.split() == list(words) else ()


@rule(
    "DB306",
    holds="initramfs-tools and dracut, every release",
    source="update-initramfs(8) -k: without it the latest kernel alone; dracut(8) --regenerate-all",
)
def one_kernel_only(setup: Setup) -> Iterator[Problem]:
    """The initramfs of one kernel alone is made anew.

    `update-initramfs -u` takes the newest kernel and `dracut --force` the running one. Whoever boots another entry of
    the menu gets an image without the change.
    """
    for command in setup.host.commands:
        for words in calls(command.value):
            name = program(words)
            if name == "update-initramfs" and _newest_only(words):
                which, whole = "the newest kernel", "update-initramfs -u -k all"
            elif name == "dracut" and _running_only(words):
                which, whole = "the running kernel", "dracut --force --regenerate-all"
            else:
                continue
            yield Problem(
                severity=Severity.NOTE,
                place=command.place,
                found=f"{' '.join(words)} makes the initramfs of {which} alone",
                why="the entries of other kernels keep an image without the change",
                fix=f"write {whole}",
                edits=_whole(command, words, whole),
            )


def _newest_only(words: tuple[str, ...]) -> bool:
    """Short options may stand together, such as -vuk all (getopts of update-initramfs)."""
    given_short = [one for one in "uk" if any(re.match(rf"-[cudbtvh]*{one}", word) for word in words[1:])]
    return given_short == ["u"]


def _running_only(words: tuple[str, ...]) -> bool:
    named = [word for word in words[1:] if not word.startswith("-")]
    return not named and not has(words, "--regenerate-all", "--kver") and has(words, "-f", "--force")


@rule(
    "DB307",
    holds="dracut, every release",
    source="measured with 106: with hostonly=no /etc/modprobe.d/vfio.conf is not in the image; dracut.conf(5)",
)
def modprobe_left_out(setup: Setup) -> Iterator[Problem]:
    """A generic image of dracut has no /etc/modprobe.d.

    With `hostonly=no` dracut leaves the host's own configuration out, so vfio-pci is loaded without `ids=` and takes
    nothing. `install_items` brings the file in; ids on the kernel command line do not need it.
    """
    host, initramfs, modprobe = setup.host, setup.host.initramfs, setup.host.modprobe
    if initramfs is None or modprobe is None or initramfs.generator != "dracut" or host.until_guest_starts:
        return
    if initramfs.host_only is not False or not modprobe.vfio_ids or setup.board is None:
        return
    name = PurePosixPath(modprobe.ids_where.file).name
    if any(PurePosixPath(file.value).name == name for file in initramfs.files):
        return
    on_line = [one for _, value in given(setup, "vfio-pci.ids") for one in value.lower().split(",")]
    missed = [one for one in setup.board.passed if not any(takes(entry, one) for entry in on_line)]
    if missed:
        yield Problem(
            severity=Severity.ERROR,
            place=modprobe.ids_where,
            found=f"{name} is not in the image: dracut makes one with hostonly=no",
            why=f"vfio-pci is loaded without ids= and does not take {', '.join(str(one.address) for one in missed)}",
            fix=f'add install_items+=" /etc/modprobe.d/{name} " to a file in /etc/dracut.conf.d',
        )


RULES: tuple[Rule, ...] = (file_ignored, generated_by_hand, one_kernel_only, modprobe_left_out)
