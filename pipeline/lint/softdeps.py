"""DB113, DB114, DB116: what modprobe does before, after or in place of loading a module."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from pipeline.facts.drivers import names
from pipeline.facts.initramfs import hooks
from pipeline.facts.kernels import canonical
from pipeline.facts.parameters import meant_module
from pipeline.lint.command_line import early
from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup
from pipeline.setup.model import Softdep

_SOFTDEP = "modprobe.d(5) softdep; kmod libkmod/libkmod-module.c"


def rivals(setup: Setup) -> frozenset[str]:
    """The drivers that want a passed-through function, as the kernel spells them."""
    return frozenset(
        canonical(driver)
        for function in (setup.board.passed if setup.board else ())
        for driver in function.drivers
    )


def vfio_first(setup: Setup, driver: str) -> bool:
    """Whether a softdep loads vfio-pci before the driver; kmod takes wildcards in the module's name."""
    return any(
        fnmatchcase(canonical(driver), canonical(softdep.module))
        and "vfio_pci" in map(canonical, softdep.before)
        for softdep in (setup.host.modprobe.softdeps if setup.host.modprobe else ())
    )


@rule("DB113", holds="kmod, every release", source=_SOFTDEP)
def softdep_reversed(setup: Setup) -> Iterator[Problem]:
    """A softdep is the wrong way round.

    `softdep amdgpu pre: vfio-pci` loads vfio-pci before amdgpu. With `post:` vfio-pci comes after the driver, and
    `softdep vfio-pci pre: amdgpu` makes sure that the driver is there before vfio-pci is.
    """
    wanted = rivals(setup)
    for softdep in setup.host.modprobe.softdeps if setup.host.modprobe else ():
        module, before = canonical(softdep.module), {canonical(one) for one in softdep.before}
        first = sorted(before & wanted)
        if module == "vfio_pci" and first:
            yield Problem(
                severity=Severity.ERROR,
                place=softdep.place,
                found=f"{first[0]} is loaded before vfio-pci by a softdep of vfio-pci",
                why=f"whenever vfio-pci is loaded, {first[0]} comes first and takes the function",
                fix=f"turn it round: softdep {first[0]} pre: vfio-pci",
            )
        late = "vfio_pci" in {canonical(one) for one in softdep.after}
        if module in wanted and late and not vfio_first(setup, module):
            yield Problem(
                severity=Severity.NOTE if early(setup) else Severity.WARNING,
                place=softdep.place,
                found=f"vfio-pci comes after {softdep.module} (post:)",
                why="post: is what is loaded after the module: the driver has the function by then"
                + (", unless vfio-pci was loaded early, as here" if early(setup) else ""),
                fix=f"write softdep {softdep.module} pre: vfio-pci",
            )


@rule("DB114", holds="kmod, every release", source=_SOFTDEP)
def softdep_void(setup: Setup) -> Iterator[Problem]:
    """A softdep names something that is not there.

    modprobe passes over a name that it does not find, in front of the colon as behind it. `vfio` alone does not help
    either: it is vfio-pci that takes devices.
    """
    wanted = rivals(setup)
    severity = Severity.NOTE if early(setup) else Severity.WARNING
    for softdep in setup.host.modprobe.softdeps if setup.host.modprobe else ():
        module = canonical(softdep.module)
        for name in softdep.before:
            meant = meant_module(canonical(name))
            if meant:
                yield _void(
                    softdep, severity, f"there is no module {name}", f"write {meant.replace('_', '-')}"
                )
        only = {canonical(one) for one in softdep.before} & {"vfio", "vfio_iommu_type1"}
        if module in wanted and only and not vfio_first(setup, module):
            yield _void(
                softdep, severity, f"{sorted(only)[0]} does not take devices", "write vfio-pci behind pre:"
            )
        near = get_close_matches(module, sorted(wanted), n=1, cutoff=0.8)
        unknown = module not in names() and near and not vfio_first(setup, near[0])
        if unknown and "vfio_pci" in map(canonical, softdep.before):
            yield _void(
                softdep,
                severity,
                f"there is no driver {softdep.module} that is known here",
                f"write {near[0]}",
            )


def _void(softdep: Softdep, severity: Severity, found: str, fix: str) -> Problem:
    return Problem(
        severity=severity,
        place=softdep.place,
        found=f"the softdep of {softdep.module} does nothing: {found}",
        why="modprobe passes over what it does not find; the driver is then not held back",
        fix=fix,
    )


# What a command of modprobe.d needs no file in the image for: mkinitcpio's base hook brings them.
_THERE = {"modprobe", "kmod", "insmod", "sh", "ash", "busybox", "true", "false", "echo", "cat", "ls", "sleep"}


@rule(
    "DB116",
    holds="mkinitcpio, every release",
    source="modprobe.d(5) install; archlinux/mkinitcpio install/modconf; ArchWiki PCI passthrough via OVMF",
)
def script_not_in_image(setup: Setup) -> Iterator[Problem]:
    """The script that loads vfio-pci is not in the initramfs.

    `install vfio-pci /usr/local/bin/vfio-pci-override.sh` replaces the loading of vfio-pci by a command. modconf copies
    that line into the image, but not the script: unless FILES names it, the command fails and vfio-pci is not loaded.
    """
    initramfs, modprobe = setup.host.initramfs, setup.host.modprobe
    if initramfs is None or modprobe is None or initramfs.generator != "mkinitcpio" or not early(setup):
        return
    used = {hook.value for hook in initramfs.hooks}
    if "modconf" not in used or used - hooks("mkinitcpio"):
        return  # a hook of the owner's own may bring the script
    there = {file.value for file in initramfs.files}
    for install in modprobe.installs:
        if canonical(install.value) != "vfio_pci":
            continue
        for path in _paths(install.place.text):
            if path not in there and PurePosixPath(path).name not in _THERE:
                yield Problem(
                    severity=Severity.WARNING,
                    place=install.place,
                    found=f"{path} loads vfio-pci, but FILES does not bring it into the image",
                    why="modconf copies the line, not the script: the command fails, and vfio-pci is not loaded early",
                    fix=f"add {path} to FILES in /etc/mkinitcpio.conf",
                )


def _paths(line: str) -> list[str]:
    """The absolute paths of programs in the command of an `install` line."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []
    return [
        word.rstrip(";")
        for word in words[2:]
        if word.startswith(("/usr/", "/bin/", "/sbin/", "/etc/", "/opt/"))
    ]


RULES: tuple[Rule, ...] = (softdep_reversed, softdep_void, script_not_in_image)
