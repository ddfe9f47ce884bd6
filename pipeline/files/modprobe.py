"""The files of modprobe.d, as libkmod reads them.

Source: modprobe.d(5); kmod libkmod/libkmod-config.c. A file hides those of its name in the directories after its own,
and the files are read in the order of their names. A `#` after the start of a line is no comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.facts.kernels import canonical
from pipeline.files.reader import Reader
from pipeline.files.syntax import Traced
from pipeline.files.text import Text
from pipeline.plan.model import Written
from pipeline.setup.model import Modprobe, Option, Softdep

FOLDERS = (
    "etc/modprobe.d",
    "run/modprobe.d",
    "usr/local/lib/modprobe.d",
    "usr/lib/modprobe.d",
    "lib/modprobe.d",
)
_USUAL = "etc/modprobe.d/vfio.conf"
_IDS = "ids"
_LIMIT = 1 << 18
_VFIO = "vfio_pci"
_PARAMETER = re.compile(r'(?:"[^"]*"?|[^\s"])+')
_COMMANDS = {"options", "softdep", "weakdep", "blacklist", "install", "alias", "remove"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Install:
    """`install MODULE COMMAND`: what is run in place of loading the module."""

    module: str
    command: str
    text: Text
    written: Written[str]


@dataclass(kw_only=True, slots=True)
class _Found:
    options: list[tuple[Option, Traced]] = field(default_factory=list)
    softdeps: list[Softdep] = field(default_factory=list)
    blacklists: list[Written[str]] = field(default_factory=list)
    installs: list[Install] = field(default_factory=list)


def in_effect(reader: Reader, folders: Sequence[str], *, end: str = ".conf") -> tuple[str, ...]:
    """Paths of the files of several directories, those of the first hiding their namesakes, sorted by name."""
    found: dict[str, str] = {}
    for folder in folders:
        for name in reader.names(folder, end=end):
            found.setdefault(name, f"{folder}/{name}")
    return tuple(found[name] for name in sorted(found))


def read(reader: Reader) -> tuple[Modprobe, tuple[Install, ...]]:
    """What the files say together, and the commands in place of modules."""
    found = _Found()
    for path in in_effect(reader, FOLDERS):
        text = reader.text(path, limit=_LIMIT)
        for line in _lines(text) if text else ():
            _take(reader, found, line)
    # Of several ids= the kernel keeps the last: it is one string (drivers/vfio/pci/vfio_pci.c, module_param_string).
    ids = [
        (option, value)
        for option, value in found.options
        if canonical(option.module) == _VFIO and option.key == _IDS
    ]
    vfio_ids: tuple[Written[str], ...] = ()
    where = reader.whole(_USUAL)
    if ids:
        option, value = ids[-1]
        where = option.place
        vfio_ids = tuple(
            Written(value=value.value[start:end].lower(), place=value.part(start, end).place or where)
            for start, end in (one.span() for one in re.finditer(r'[^,"\s]+', value.value))
        )
    modprobe = Modprobe(
        vfio_ids=vfio_ids,
        ids_where=where,
        softdeps=tuple(found.softdeps),
        blacklists=tuple(found.blacklists),
        options=tuple(option for option, _ in found.options),
        installs=tuple(install.written for install in found.installs),
    )
    return modprobe, tuple(found.installs)


def _lines(text: Text) -> Iterator[Traced]:
    """Lines with those joined that a backslash continues; no comments and no empty ones."""
    offset = 0
    characters: list[str] = []
    marks: list[tuple[Text, int]] = []
    for number, line in enumerate(text.lines, 1):
        goes_on = line.endswith("\\") and number < len(text.lines)
        kept = line[:-1] if goes_on else line
        characters.append(kept)
        marks += [(text, offset + column) for column in range(len(kept))]
        offset += len(line) + 1
        if goes_on:
            continue
        whole = "".join(characters)
        if whole.strip() and not whole.startswith("#"):
            yield Traced(whole, tuple(marks))
        characters, marks = [], []


def _take(reader: Reader, found: _Found, line: Traced) -> None:
    words = line.split()
    command = words[0]
    place = command.place
    if place is None or command.value.startswith("#"):
        return
    if command.value not in _COMMANDS or len(words) < 2:
        reader.note(place, f"modprobe has no line such as {line.value.strip()[:60]!r}, and passes over it")
        return
    module = words[1].value
    match command.value:
        case "blacklist":
            found.blacklists.append(Written(value=module, place=words[1].place or place))
        case "softdep":
            before, after = _softdep(words[2:])
            found.softdeps.append(Softdep(module=module, before=before, after=after, place=place))
        case "options":
            start = line.value.index(module, line.value.index("options") + len("options")) + len(module)
            for one in _PARAMETER.finditer(line.value, start):
                key, mark, value = one[0].partition("=")
                written = line.part(one.start() + len(key) + len(mark), one.end())
                option = Option(
                    module=module,
                    key=key,
                    value=value.strip('"'),
                    place=line.part(*one.span()).place or place,
                )
                found.options.append((option, written))
        case "install":
            start = line.value.index(module, line.value.index("install") + len("install")) + len(module)
            found.installs.append(
                Install(
                    module=module,
                    command=line.value[start:].strip(),
                    text=command.marks[0][0],
                    written=Written(value=module, place=words[1].place or place),
                )
            )


def _softdep(words: Sequence[Traced]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found: dict[str, list[str]] = {"pre:": [], "post:": []}
    kind = ""
    for word in words:
        if word.value in found:
            kind = word.value
        elif kind:
            found[kind].append(word.value)
    return tuple(found["pre:"]), tuple(found["post:"])
