"""Kernel parameters in a line of plain text: what /etc/kernel/cmdline, boot entries and grub.cfg hold.

Source: kernel lib/cmdline.c next_arg(): parameters end at a blank that is not between double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.files.text import Text
from pipeline.plan.model import Written

_PARAMETER = re.compile(r'(?:"[^"]*"?|[^\s"])+')


def parameters(text: Text, line: int, *, start: int = 0) -> tuple[Written[str], ...]:
    """The parameters of a line, counted from 1, from the character `start`, counted from 0."""
    found = _PARAMETER.finditer(text.lines[line - 1], start)
    return tuple(Written(value=one[0], place=text.place(line, one.start() + 1)) for one in found)


def words(line: str, start: int = 0) -> list[str]:
    """The parameters of a line without places."""
    return _PARAMETER.findall(line, start)


def of_file(text: Text) -> tuple[Written[str], ...]:
    """The parameters of a file that holds nothing else; lines that begin with # are comments (mkinitcpio(8))."""
    return tuple(
        one
        for number, line in enumerate(text.lines, 1)
        if not line.lstrip().startswith("#")
        for one in parameters(text, number)
    )


def values(written: Iterable[Written[str]], name: str) -> tuple[Written[str], ...]:
    """The values of the parameter `name`, `-` and `_` being one (kernel/params.c parameqn())."""
    wanted = name.replace("-", "_")
    found = []
    for one in written:
        key, _, value = one.value.partition("=")
        if key.replace("-", "_") == wanted:
            found.append(Written(value=value.strip('"'), place=one.place))
    return tuple(found)
