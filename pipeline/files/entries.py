"""Boot entries: loader/entries/*.conf and loader.conf of systemd-boot, and of GRUB where it reads them (Fedora).

Source: The Boot Loader Specification, type 1; loader.conf(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pipeline.errors import Place
from pipeline.files.cmdline import parameters
from pipeline.files.reader import Reader
from pipeline.files.text import Text
from pipeline.plan.model import Written

ROOTS = ("boot", "efi", "boot/efi")
_KEY = re.compile(r"[ \t]*([A-Za-z0-9-]+)[ \t]+(\S.*)?")
_APART = re.compile(r"fallback|rescue|without|recovery", re.I)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry. `where` is its last line of options, or the file where it has none."""

    name: str
    path: str
    version: str
    parameters: tuple[Written[str], ...]
    where: Place


def read(reader: Reader) -> tuple[Entry, ...]:
    """All entries for Linux, as the directories have them."""
    found = []
    for root in ROOTS:
        folder = f"{root}/loader/entries"
        for name in reader.names(folder, end=".conf"):
            text = reader.text(f"{folder}/{name}")
            if text:
                found.append(_entry(name, text))
    return tuple(found)


def _entry(name: str, text: Text) -> Entry:
    options: list[Written[str]] = []
    where, version = text.whole, ""
    for number, line in enumerate(text.lines, 1):
        found = _KEY.fullmatch(line)
        if found is None:
            continue
        if found[1] == "options":
            where = text.place(number)
            if found[2]:
                options += parameters(text, number, start=found.start(2))
        elif found[1] == "version":
            version = found[2] or ""
    return Entry(name=name, path=text.path, version=version, parameters=tuple(options), where=where)


def default(reader: Reader, entries: tuple[Entry, ...]) -> Entry | None:
    """The entry that is started when nobody chooses.

    The first that loader.conf's `default` matches; else the newest that is no fallback by its name.
    """
    pattern = default_pattern(reader)
    ordered = sorted(entries, key=lambda one: natural(one.version or one.name), reverse=True)
    if pattern:
        matching = [one for one in ordered if fnmatchcase(one.name.lower(), pattern.lower())]
        matching += [one for one in ordered if one.name.lower() == f"{pattern.lower()}.conf"]
        if matching:
            return matching[0]
    usual = [one for one in ordered if not _APART.search(one.name)]
    return next(iter(usual or ordered), None)


def default_pattern(reader: Reader) -> str:
    """What loader.conf says is the default entry, empty where it does not."""
    text = reader.first(f"{root}/loader/loader.conf" for root in ROOTS)
    for line in text.lines if text else ():
        found = _KEY.fullmatch(line)
        if found and found[1] in {"default", "preferred"} and found[2] and not found[2].startswith("@"):
            return found[2].strip()
    return ""


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """A key that sorts numbers in names as numbers, as sort(1) -V does."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", name)
    return tuple((1, int(part)) if part[0] in "0123456789" else (0, part) for part in parts)
