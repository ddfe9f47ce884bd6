"""Reads the menu entries of a grub.cfg that grub-mkconfig has written.

Source: GRUB's util/grub.d/10_linux.in; the language is GRUB's own, so only what that script writes is read.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_ENTRY = re.compile(r"^\s*menuentry\s+(.*)\{\s*$")
_LINUX = re.compile(r"^\s*linux\s+(\S+)\s*(.*?)\s*$")
_INITRD = re.compile(r"^\s*initrd\s+(.*?)\s*$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A menu entry that boots Linux: paths on the root file system, the parameters as written."""

    title: str
    identifier: str
    kernel: str
    parameters: str
    initrds: tuple[str, ...]


def entries(text: str) -> tuple[Entry, ...]:
    """The entries that boot a kernel, in the order of the menu; those of submenus too."""
    found: list[Entry] = []
    head: tuple[str, str] | None = None
    kernel, parameters, initrds = "", "", tuple[str, ...]()
    for line in text.splitlines():
        if match := _ENTRY.match(line):
            head, kernel, parameters, initrds = _head(match[1]), "", "", ()
        elif head and (match := _LINUX.match(line)):
            kernel, parameters = match[1], match[2]
        elif head and (match := _INITRD.match(line)):
            initrds = tuple(match[1].split())
        elif head and line.strip() == "}":
            if kernel:
                title, identifier = head
                found.append(
                    Entry(
                        title=title,
                        identifier=identifier,
                        kernel=kernel,
                        parameters=parameters,
                        initrds=initrds,
                    )
                )
            head = None
    return tuple(found)


def _head(text: str) -> tuple[str, str]:
    """Title and identifier; without one GRUB takes the title."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    title = words[0] if words else ""
    for option in ("$menuentry_id_option", "--id"):
        if option in words[:-1]:
            return title, words[words.index(option) + 1]
    return title, title
