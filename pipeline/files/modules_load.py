"""Modules that are loaded when the initramfs has been left, or late in it: one name a line.

Source: modules-load.d(5), modules(5) of kmod on Debian, initramfs-tools(7).
"""

from __future__ import annotations

from pipeline.files.modprobe import in_effect
from pipeline.files.reader import Reader
from pipeline.files.text import Text
from pipeline.plan.model import Written

_FOLDERS = (
    "etc/modules-load.d",
    "run/modules-load.d",
    "usr/local/lib/modules-load.d",
    "usr/lib/modules-load.d",
)
_OLD = "etc/modules"


def read(reader: Reader) -> tuple[Written[str], ...]:
    """The modules of modules-load.d and /etc/modules, in order."""
    found: list[Written[str]] = []
    for path in (*in_effect(reader, _FOLDERS), _OLD):
        text = reader.text(path)
        found += names(text) if text else ()
    return tuple(dict.fromkeys(found))


def names(text: Text) -> tuple[Written[str], ...]:
    """The first word of each line that is no comment."""
    found = []
    for number, line in enumerate(text.lines, 1):
        word = line.strip()
        if word and word[0] not in "#;":
            column = len(line) - len(line.lstrip()) + 1
            found.append(Written(value=word.split()[0], place=text.place(number, column)))
    return tuple(found)
