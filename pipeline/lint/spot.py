"""Where exactly in a text an edit applies."""

from __future__ import annotations

import re
from enum import Enum
from xml.sax.saxutils import escape

from pipeline.lint.edit import Edit, Kind

_QUOTES = "\"'"
_PAIR = re.compile(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}")
_INNER = re.compile(r"[\w:.?-]")
# What readers of files keep of a line that is very long.
_LONG = 400


class CannotMend(Exception):
    """An edit is not applied; the text says why."""


class Form(Enum):
    """How a file writes lists."""

    WORDS = "words between blanks: shell, kernel command lines"
    LISTED = "a module a line"
    MODPROBE = "modprobe.d(5)"
    YAML = "YAML"
    XML = "XML"


def form(file: str, text: str) -> Form:
    """The form of a file, by its name and how its text begins."""
    if file.endswith((".yaml", ".yml")):
        return Form.YAML
    if file.endswith(".xml") or text.lstrip().startswith("<"):
        return Form.XML
    if "modprobe.d/" in file:
        return Form.MODPROBE
    if "modules-load.d/" in file or file.endswith(("initramfs-tools/modules", "etc/modules")):
        return Form.LISTED
    return Form.WORDS


def line_around(text: str, at: int) -> tuple[int, int]:
    """Where the line that holds the offset `at` begins and ends, without its line feed or CR LF."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return start, end - (end > start and text[end - 1 : end + 1] == "\r\n")


def find(text: str, edit: Edit) -> tuple[int, int]:
    """Offsets of the first character of `edit.old` and of the one behind it; both the end of the line for ADD_LINE.

    Raises CannotMend where `old` does not stand there, or where it cannot be told which of several is meant.
    """
    place = edit.place
    if not place.line:
        raise CannotMend(
            f"it was set by {place.file}, not in a file"
            if place.file.startswith("--")
            else f"it is not known which line of {place.file} is meant"
        )
    start, end = _line(text, place.line)
    line = text[start:end]
    known = place.text
    if known and not (line.strip() == known or (len(known) > _LONG and line.strip().startswith(known))):
        raise CannotMend(f"line {place.line} of {place.file} is not the line that was looked at")
    if edit.kind is Kind.ADD_LINE:
        if line.endswith("\\"):
            raise CannotMend(f"line {place.line} of {place.file} goes on in the next one")
        return end, end
    for needle in _needles(edit.old, form(place.file, text)):
        found = _in_line(line, needle, max(place.column - 1, 0) if place.column else None)
        if len(found) == 1:
            return start + found[0], start + found[0] + len(needle)
        if found:
            raise CannotMend(f"{edit.old} stands more than once in line {place.line} of {place.file}")
    raise CannotMend(f"{edit.old} does not stand at {place}")


def _line(text: str, number: int) -> tuple[int, int]:
    start = 0
    for _ in range(number - 1):
        start = text.find("\n", start) + 1
        if not start:
            raise CannotMend(f"the file has no line {number} any more")
    return line_around(text, start)


def _needles(old: str, written: Form) -> tuple[str, ...]:
    if not old:
        return ()
    if written is not Form.XML:
        return (old,)
    forms = (escape(old, {'"': "&quot;", "'": "&apos;"}), escape(old, {'"': "&quot;"}), escape(old))
    return tuple(dict.fromkeys(forms))


def _in_line(line: str, old: str, column: int | None) -> list[int]:
    """Where `old` stands as a whole: at `column` (from 0), else in the word or quoted text that begins there."""
    if _PAIR.fullmatch(old):
        line, old = line.lower(), old.lower()
    found = [one.start() for one in re.finditer(re.escape(old), line) if _whole(line, one.start(), one.end())]
    if column is None:
        return found
    if column in found:
        return [column]
    if line[column : column + 1] in {*_QUOTES}:
        end = line.find(line[column], column + 1)
    else:
        blank = re.compile(r"\s").search(line, column)
        end = blank.start() if blank else -1
    return [one for one in found if column < one and one + len(old) <= (len(line) if end < 0 else end)]


def _whole(line: str, start: int, end: int) -> bool:
    """Whether no word goes on before `start` or behind `end`."""
    before = start > 0 and _INNER.match(line[start]) and _INNER.match(line[start - 1])
    behind = end < len(line) and _INNER.match(line[end - 1]) and _INNER.match(line[end])
    return not before and not behind
