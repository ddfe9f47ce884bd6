"""mkinitcpio's configuration, drop-ins and presets.

Source: mkinitcpio.conf(5), mkinitcpio(8); archlinux/mkinitcpio v41 mkinitcpio and functions. The drop-ins are sourced
after the configuration (since v36), unless a preset or -c names one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.files.entries import natural
from pipeline.files.reader import Reader
from pipeline.files.shell import Shell
from pipeline.plan.model import Written
from pipeline.setup.model import IgnoredFile, Initramfs

CONFIG = "etc/mkinitcpio.conf"
_DROP_INS = f"{CONFIG}.d"
PRESETS = "etc/mkinitcpio.d"
_ARRAYS = ("MODULES", "HOOKS", "FILES")
_OPTION = re.compile(r"(?:_config|_options|_uki|_efi_image|_cmdline)$|^PRESETS$")
_FALLBACK = "fallback"


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """The preset that makes the image of the kernel in use: what its first image is made with.

    `config` is the configuration it names, by ALL_config, its own or -c; `skipped` and `added` are the hooks of its
    -S and -A. `fallback`: whether it makes a fallback image; None where PRESETS is not known.
    """

    path: str
    config: Written[str] | None
    skipped: frozenset[str]
    added: tuple[Written[str], ...]
    fallback: bool | None
    uki: bool
    cmdline: str


def preset(reader: Reader, *, kernel: str | None) -> Preset | None:
    """The preset of the kernel series, as Manjaro names it (linux612.preset), else linux.preset, else the first."""
    names = reader.names(PRESETS, end=".preset")
    wanted = (f"linux{(kernel or '').replace('.', '')}.preset", "linux.preset")
    chosen = next((name for name in wanted if name in names), names[0] if names else None)
    text = reader.text(f"{PRESETS}/{chosen}") if chosen else None
    if text is None:
        return None
    shell = Shell(
        note=reader.note, watched=lambda name: bool(_OPTION.search(name)), own=lambda name: name == "PRESETS"
    )
    shell.run(text)
    for fault in shell.broken:
        reader.note(fault.place, fault.value)
    images = shell.words("PRESETS")
    first = images[0].value if images else "default"
    options = shell.words(f"{first}_options") or ()
    config = _text(shell, f"{first}_config") or _text(shell, "ALL_config")
    named = _arguments(options, {"-c", "--config"})
    cmdline = _arguments(options, {"--cmdline"})
    set_cmdline = _text(shell, f"{first}_cmdline") or _text(shell, "ALL_cmdline")
    return Preset(
        path=text.path,
        config=named[-1] if named else config,
        skipped=frozenset(
            hook for one in _arguments(options, {"-S", "--skiphooks"}) for hook in one.value.split(",")
        ),
        added=tuple(
            Written(value=hook, place=one.place)
            for one in _arguments(options, {"-A", "--addhooks"})
            for hook in one.value.split(",")
        ),
        fallback=None if images is None else _FALLBACK in {one.value for one in images},
        uki=any(_text(shell, f"{first}{end}") for end in ("_uki", "_efi_image")),
        cmdline=cmdline[-1].value if cmdline else set_cmdline.value if set_cmdline else "",
    )


def _text(shell: Shell, name: str) -> Written[str] | None:
    value, place = shell.text(name), shell.place(name)
    return Written(value=value.value, place=value.place or place) if value and value.value and place else None


def _arguments(options: Sequence[Written[str]], names: set[str]) -> list[Written[str]]:
    """What follows an option, or stands after its `=`."""
    found = []
    for number, one in enumerate(options):
        name, mark, value = one.value.partition("=")
        if name in names and mark:
            found.append(Written(value=value, place=one.place))
        elif one.value in names and number + 1 < len(options):
            found.append(options[number + 1])
    return found


def read(reader: Reader, found: Preset | None) -> Initramfs:
    """What goes into the image by the configuration that is in effect; `after_boot` is left empty."""
    config = found.config if found else None
    path = config.value.lstrip("/") if config else CONFIG
    drop_ins = sorted(reader.names(_DROP_INS, end=".conf"), key=natural)
    ignored = [
        IgnoredFile(
            place=reader.whole(f"{_DROP_INS}/{name}"),
            why=f"{config.place} names a configuration, and mkinitcpio reads no drop-ins then",
            fix=f"put # before {config.place.text}, or write what it says into /{path}",
        )
        for name in drop_ins
        if config
    ]
    shell = Shell(note=reader.note, watched=_ARRAYS.__contains__, own=_ARRAYS.__contains__)
    for one in (path, *(() if config else (f"{_DROP_INS}/{name}" for name in drop_ins))):
        text = reader.text(one)
        if text:
            shell.run(text)
    for fault in shell.broken:
        reader.note(fault.place, fault.value)
    ignored += _replaced(shell)
    hooks = [one for one in shell.words("HOOKS") or () if not found or one.value not in found.skipped]
    here = reader.whole(path)
    return Initramfs(
        generator="mkinitcpio",
        modules=shell.words("MODULES") or (),
        modules_where=shell.place("MODULES") or here,
        hooks=(*hooks, *(found.added if found else ())),
        hooks_where=shell.place("HOOKS") or here,
        files=shell.words("FILES") or (),
        ignored=tuple(ignored),
        fallback=found.fallback if found else None,
    )


def known(reader: Reader, found: Preset | None) -> bool:
    """Whether there is the configuration that the image is made with."""
    config = found.config.value.lstrip("/") if found and found.config else CONFIG
    return reader.text(config) is not None


def _replaced(shell: Shell) -> list[IgnoredFile]:
    """Lists of one file that a later file sets anew where it should add to them."""
    found = []
    for one in shell.assignments:
        before = one.before
        if (
            one.name in _ARRAYS
            and not one.added
            and before is not None
            and before.words
            and before.place.file != one.place.file
        ):
            found.append(
                IgnoredFile(
                    place=before.place,
                    why=f"{one.place} sets {one.name} anew and is read later, so what stands here is lost",
                    fix=f"write {one.name}+=( … ) in {one.place.file}",
                )
            )
    return found
