"""GRUB's files: /etc/default/grub with its drop-ins, and what grub.cfg has of it.

Source: grub-mkconfig(8) and util/grub-mkconfig.in, which sources /etc/default/grub and, as distributions patch it,
/etc/default/grub.d/*.cfg after it; util/grub.d/10_linux.in, which puts GRUB_CMDLINE_LINUX before _DEFAULT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import Place
from pipeline.files.cmdline import words
from pipeline.files.entries import Entry
from pipeline.files.reader import Reader
from pipeline.files.shell import Shell
from pipeline.files.text import Text
from pipeline.plan.model import Written
from pipeline.setup.model import GrubState

DEFAULTS = "etc/default/grub"
_DROP_INS = "etc/default/grub.d"
CONFIGS = ("boot/grub/grub.cfg", "boot/grub2/grub.cfg")
_ALWAYS, _USUALLY = "GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"
_WATCHED = {_ALWAYS, _USUALLY, "GRUB_ENABLE_BLSCFG"}
_LINUX = re.compile(r"[ \t]*(?:linux|linux16|linuxefi)[ \t]+\S+")
_CONFIG_LIMIT = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What /etc/default/grub says. `parameters` is None where a value is not known or the file is broken.

    `entries`: grub-mkconfig leaves the command line to boot entries (GRUB_ENABLE_BLSCFG).
    """

    parameters: tuple[Written[str], ...] | None
    where: Place
    name: str
    entries: bool
    broken: tuple[Written[str], ...]


def defaults(reader: Reader, *, dash: bool) -> Defaults | None:
    """Read /etc/default/grub; None where there is none. `dash`: grub-mkconfig is run by dash, which has no `+=`."""
    text = reader.text(DEFAULTS)
    drop_ins = [reader.text(f"{_DROP_INS}/{name}") for name in reader.names(_DROP_INS, end=".cfg")]
    texts = [one for one in (text, *drop_ins) if one]
    if not texts:
        return None
    shell = Shell(
        note=reader.note,
        watched=_WATCHED.__contains__,
        own=lambda name: name.startswith("GRUB_"),
    )
    broken: list[Written[str]] = []
    for one in texts:
        shell.run(one)
        broken += _endings(one)
    broken += shell.broken
    if dash:
        broken += [
            Written(
                value=f"dash, which runs grub-mkconfig here, has no +=: it takes {one.name}+= for a command",
                place=one.place,
            )
            for one in shell.assignments
            if one.added and one.name.startswith("GRUB_")
        ]
    found: list[Written[str]] | None = []
    for name in (_ALWAYS, _USUALLY):
        words = shell.words(name)
        if words is None and name in shell.variables:
            found = None
        elif found is not None:
            found += words or ()
    if broken and any(one.place.file == text.file for text in texts for one in shell.broken):
        found = None if not _harmless(shell) else found
    name = _USUALLY if shell.place(_USUALLY) or not shell.place(_ALWAYS) else _ALWAYS
    enabled = shell.text("GRUB_ENABLE_BLSCFG")
    return Defaults(
        parameters=None if found is None else tuple(found),
        where=shell.place(name) or texts[0].whole,
        name=name,
        entries=enabled is not None and enabled.value == "true",
        broken=tuple(broken),
    )


def _harmless(shell: Shell) -> bool:
    """Whether grub-mkconfig comes to its end: a value that is cut at a blank is no command that fails."""
    return all("sets another variable" in one.value or "is no quote" in one.value for one in shell.broken)


def _endings(text: Text) -> list[Written[str]]:
    found = []
    if text.marked:
        found.append(
            Written(value="the byte order mark at the start is a part of the first word", place=text.place(1))
        )
    if text.carriage:
        what = "the line ends with CR LF, and the CR becomes a part of the value"
        found.append(Written(value=what, place=text.place(text.carriage)))
    return found


def state(reader: Reader, found: Defaults | None, entries: tuple[Entry, ...]) -> GrubState:
    """What is broken in the defaults, and what of them has not come into grub.cfg or the boot entries."""
    if found is None:
        return GrubState()
    present = _present(reader, entries if found.entries else ())
    missing = None
    if present is not None and found.parameters is not None:
        missing = tuple(one for one in found.parameters if one.value not in present)
    return GrubState(broken=found.broken, missing=missing)


def _present(reader: Reader, entries: tuple[Entry, ...]) -> set[str] | None:
    """All parameters of the lines that start a kernel; None where there is no such line to be seen."""
    lines = [one.value for entry in entries for one in entry.parameters]
    seen = bool(entries)
    for path in CONFIGS:
        text = reader.text(path, limit=_CONFIG_LIMIT)
        for line in text.lines if text else ():
            if found := _LINUX.match(line):
                seen = True
                lines += words(line, found.end())
    if any("$kernelopts" in one for one in lines):
        lines += _kernel_options(reader)
    return {one.strip("'\"").replace('"', "") for one in lines} if seen else None


def _kernel_options(reader: Reader) -> list[str]:
    """What grubenv keeps for `$kernelopts` of the entries (Fedora 30 to 33)."""
    text = reader.first(("boot/grub2/grubenv", "boot/grub/grubenv"))
    return [
        one
        for line in (text.lines if text else ())
        if line.startswith("kernelopts=")
        for one in words(line, len("kernelopts="))
    ]
