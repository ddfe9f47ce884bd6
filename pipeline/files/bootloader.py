"""Which boot loader starts the host, by what is there of it, and the command lines of it and of the others."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.files import entries as boot_entries
from pipeline.files import grub, unified
from pipeline.files.entries import ROOTS, Entry
from pipeline.files.mkinitcpio import Preset
from pipeline.files.reader import Reader
from pipeline.files.shell import Shell
from pipeline.setup.model import CommandLine, GrubState, Parameters

_SDBOOT = "etc/sdboot-manage.conf"
_GRUB_BINARIES = ("grubx64.efi", "shimx64.efi")


@dataclass(frozen=True, kw_only=True, slots=True)
class Boot:
    """`loader` is grub, systemd-boot or uki; None where nothing tells it."""

    loader: str | None
    command_line: CommandLine | None
    others: tuple[Parameters, ...]
    grub: GrubState


def read(reader: Reader, *, distribution: str | None, preset: Preset | None) -> Boot:
    """Decide on the boot loader and read what each of them would pass to the kernel."""
    defaults = grub.defaults(reader, dash=distribution == "debian")
    entries = boot_entries.read(reader)
    by_grub = defaults is not None and defaults.entries
    loader = _loader(reader, preset, entries=bool(entries) and not by_grub)
    lines = {
        "grub": _by_grub(defaults, entries),
        "systemd-boot": _by_entries(reader, () if by_grub else entries),
        "uki": unified.command_line(reader, named=preset.cmdline if preset else ""),
    }
    if loader == "systemd-boot" and lines["systemd-boot"] is None:
        lines["systemd-boot"] = lines["uki"]
    unused = {name: line for name, line in lines.items() if name != loader and line and line.parameters}
    # Tools that add boot entries, kernel-install and grubby, take /etc/kernel/cmdline into each.
    if loader == "systemd-boot" or by_grub or distribution == "fedora":
        unused.pop("uki", None)
    return Boot(
        loader=loader,
        command_line=lines.get(loader or ""),
        others=tuple(
            Parameters(loader=name, parameters=line.parameters, place=line.where)
            for name, line in unused.items()
        ),
        grub=grub.state(reader, defaults, entries),
    )


def _loader(reader: Reader, preset: Preset | None, *, entries: bool) -> str | None:
    """What starts the host.

    systemd-boot and images that firmware starts leave their own files on the EFI system partition, and
    grub-mkconfig its grub.cfg: those say what is in use. /etc/default/grub alone says only that GRUB's package
    was installed, and decides where nothing else is seen.
    """
    configured = any(reader.tree.exists(path) for path in grub.CONFIGS)
    systemd = entries or any(
        reader.tree.exists(f"{root}/{path}")
        for root in ROOTS
        for path in ("loader/loader.conf", "EFI/systemd")
    )
    images = unified.images(reader) or bool(preset and preset.uki)
    binaries = any(
        name in _GRUB_BINARIES
        for root in ROOTS
        for folder in reader.names(f"{root}/EFI")
        for name in reader.names(f"{root}/EFI/{folder}")
    )
    if configured and systemd and not binaries:
        reader.note(
            reader.whole(next(path for path in grub.CONFIGS if reader.tree.exists(path))),
            "there is a grub.cfg, and there are systemd-boot's files: taken for started by systemd-boot",
        )
    if (configured or binaries) and (binaries or not systemd):
        return "grub"
    if systemd:
        default = boot_entries.default_pattern(reader)
        return "uki" if default.endswith(".efi") or (images and not entries) else "systemd-boot"
    if images:
        return "uki"
    if reader.tree.exists(grub.DEFAULTS):
        return "grub"
    return "uki" if reader.tree.exists(unified.FILE) else None


def _by_grub(defaults: grub.Defaults | None, entries: tuple[Entry, ...]) -> CommandLine | None:
    """The entries' own line where GRUB takes it from there, else that of /etc/default/grub."""
    if defaults is not None and defaults.entries and entries:
        usual = [one for one in entries if "rescue" not in one.name] or list(entries)
        newest = max(usual, key=lambda one: boot_entries.natural(one.version or one.name))
        if not any("$kernelopts" in one.value for one in newest.parameters):
            return CommandLine(
                parameters=newest.parameters, where=newest.where, shown=f"options of /{newest.path}"
            )
    if defaults is None or defaults.parameters is None:
        return None
    return CommandLine(parameters=defaults.parameters, where=defaults.where, shown=defaults.name)


def _by_entries(reader: Reader, entries: tuple[Entry, ...]) -> CommandLine | None:
    """The default entry's line; what sdboot-manage writes the entries from is the line to change."""
    source = _managed(reader)
    entry = boot_entries.default(reader, entries)
    if entry is None:
        return source
    if source is not None:
        return CommandLine(parameters=entry.parameters, where=source.where, shown=source.shown)
    return CommandLine(parameters=entry.parameters, where=entry.where, shown=f"options of /{entry.path}")


def _managed(reader: Reader) -> CommandLine | None:
    text = reader.text(_SDBOOT)
    if text is None:
        return None
    names = ("LINUX_OPTIONS", "LINUX_OPTIONS_DEFAULT")
    shell = Shell(note=reader.note, watched=names.__contains__)
    shell.run(text)
    name = next((one for one in reversed(names) if shell.place(one)), None)
    where = shell.place(name) if name else None
    if where is None or any(shell.words(one) is None for one in names if shell.place(one)):
        return None
    found = tuple(word for one in names for word in shell.words(one) or ())
    return CommandLine(parameters=found, where=where, shown=f"{name} of /{_SDBOOT}")
