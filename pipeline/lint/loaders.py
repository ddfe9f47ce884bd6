"""DB407-DB409, DB412: parameters that do not reach the kernel, and the files of the boot loaders."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.parameters import passthrough_names
from pipeline.lint.command_line import name_of
from pipeline.lint.edit import add_after
from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.lint.shell import calls, option, program
from pipeline.plan.model import Written
from pipeline.setup import Setup
from pipeline.setup.model import Parameters

_GRUB = "GNU GRUB manual, Simple configuration; grub-mkconfig(8)"
# Links to the file that GRUB reads (Fedora's package grub2-tools).
_LINKS = {"/etc/grub2.cfg", "/etc/grub2-efi.cfg"}


@rule(
    "DB407",
    holds="hosts with files of more than one boot loader",
    source="ArchWiki Kernel parameters; kernel-install(8); pop-os/pop issue 968",
)
def other_loader(setup: Setup) -> Iterator[Problem]:
    """A parameter was written for a boot loader that the host does not boot with.

    Guides say /etc/default/grub; a host that boots with systemd-boot or a unified kernel image takes its parameters
    from /boot/loader/entries, /etc/kernel/cmdline or kernelstub, and never reads that file.
    """
    line = setup.host.command_line
    if line is None:
        return
    there = {name_of(one.value) for one in line.parameters}
    for other in setup.host.other_loaders:
        missed = _passthrough(other, there)
        if missed:
            together = " ".join(one.value for one in missed)
            loader = setup.host.bootloader
            yield Problem(
                severity=Severity.WARNING,
                place=missed[0].place,
                found=f"{together} is written for {other.loader}, "
                + (f"but the host boots with {loader}" if loader else "which the host does not boot with"),
                why=f"the kernel gets what stands in {line.shown}",
                fix=f"add {together} to {line.shown}",
                edits=(add_after(line.parameters[-1], together),) if line.parameters else (),
            )


def _passthrough(other: Parameters, there: set[str]) -> list[Written[str]]:
    """What of passthrough stands there and not on the command line in use."""
    known = passthrough_names()
    return [one for one in other.parameters if name_of(one.value) in known - there]


@rule("DB408", holds="GRUB, every release", source=_GRUB)
def grub_cfg_older(setup: Setup) -> Iterator[Problem]:
    """grub.cfg was not made again after /etc/default/grub was changed.

    GRUB reads grub.cfg alone. Nothing makes it anew when /etc/default/grub changes: the owner has to. On Fedora the
    command line is in the files of /boot/loader/entries, which `grubby` changes.
    """
    host = setup.host
    if host.bootloader not in {None, "grub"} or not host.grub.missing:
        return
    known = passthrough_names()
    grave = any(name_of(one.value) in known for one in host.grub.missing)
    together = " ".join(one.value for one in host.grub.missing)
    command = " ".join(host.facts.grub_mkconfig) if host.facts else "grub-mkconfig -o /boot/grub/grub.cfg"
    entries = host.facts.grub_entries if host.facts else ""
    yield Problem(
        severity=Severity.ERROR if grave else Severity.WARNING,
        place=host.grub.missing[0].place,
        found=f"{'no boot entry' if entries else 'no entry of grub.cfg'} has {together}",
        why="GRUB takes the command line from /boot/loader/entries, which grub2-mkconfig leaves alone"
        if entries
        else "GRUB reads grub.cfg, which was not made again since /etc/default/grub was changed",
        fix=f'run {entries} --update-kernel=ALL --args="{together}" as root'
        if entries
        else f"run {command} as root",
    )


@rule(
    "DB409",
    holds="GRUB, every release",
    source=f"{_GRUB}; grub-mkconfig reads /etc/default/grub as a shell script",
)
def grub_file_broken(setup: Setup) -> Iterator[Problem]:
    """The shell does not read a line of /etc/default/grub as it is meant.

    grub-mkconfig runs the file as a shell script: a missing or typographic quotation mark, blanks around `=` or a line
    that goes on after the closing quotation mark lose parameters or end with an error.
    """
    for broken in setup.host.grub.broken if setup.host.bootloader in {None, "grub"} else ():
        yield Problem(
            severity=Severity.ERROR,
            place=broken.place,
            found=f"the shell does not read this line as meant: {broken.value}",
            why="grub-mkconfig runs /etc/default/grub as a shell script, so the parameters are lost or it fails",
            fix='write NAME="parameters with blanks between them" in one line, with plain quotation marks',
        )


@rule(
    "DB412",
    holds="GRUB, every release; Fedora from 34 on",
    source=f"{_GRUB}; fedoraproject.org/wiki/Changes/UnifyGrubConfig",
)
def grub_cfg_elsewhere(setup: Setup) -> Iterator[Problem]:
    """grub.cfg is written to a place where GRUB does not look.

    Each distribution has one: /boot/grub/grub.cfg, and /boot/grub2/grub.cfg on Fedora. There
    /boot/efi/EFI/fedora/grub.cfg has only pointed to the right one since release 34, and a grub.cfg written over it
    breaks that.
    """
    host = setup.host
    if host.facts is None or host.bootloader not in {None, "grub"}:
        return
    for command in host.commands:
        for words in calls(command.value):
            if program(words) not in {"grub-mkconfig", "grub2-mkconfig"}:
                continue
            target = option(words, "-o", "--output")
            stub = host.distribution == "fedora" and (target or "").startswith("/boot/efi/EFI/")
            if target is None and set(">|") & set(f"{command.value}{command.place.text}"):
                continue
            if target == host.facts.grub_cfg or target in _LINKS:
                continue
            yield Problem(
                severity=Severity.WARNING if stub or target is None else Severity.NOTE,
                place=command.place,
                found=f"{words[0]} writes to {target}" if target else f"{words[0]} writes to no file",
                why=f"GRUB of {host.facts.os_release['NAME']} reads {host.facts.grub_cfg}"
                if not stub
                else f"that file only points to {host.facts.grub_cfg}, and no longer does if it is written over",
                fix=f"run {' '.join(host.facts.grub_mkconfig)}",
            )


RULES: tuple[Rule, ...] = (other_loader, grub_cfg_older, grub_file_broken, grub_cfg_elsewhere)
