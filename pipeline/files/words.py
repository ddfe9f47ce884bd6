"""The value of a word of shell, where it can be told without running anything. Source: bash(1), EXPANSION, QUOTING."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from tree_sitter import Node

from pipeline.errors import Place
from pipeline.files.syntax import Script, Traced

LONGEST = 8_192
MOST = 4_096
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|c.|.)", re.S)
_NAME = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
_EACH = re.compile(r"\$\{([A-Za-z_]\w*)\[@\]\}")
_TILDE = re.compile(r"(?:^|[:=])~")
_BRACES = re.compile(r"\{[^{}]*(?:,|\.\.)[^{}]*\}")
_PLAIN = {"word", "number", "extglob_pattern", "regex", "test_operator", "$"}
# Gives the words of a variable: one of a text, many of an array; None where it has no value that is known.
Variables = Callable[[str], "tuple[Traced, ...] | None"]


class Dynamic(Exception):
    """A value that only running the script would tell."""

    def __init__(self, place: Place, what: str) -> None:
        super().__init__(what)
        self.place = place
        self.what = what


def scalar(script: Script, node: Node | None, variables: Variables) -> Traced:
    """The value of the right side of `NAME=…`; raises Dynamic."""
    if node is None:
        return Traced("", ())
    if _TILDE.search(_unquoted(script, node)):
        raise Dynamic(script.place(node), "a ~ that stands for a home directory")
    return _limited(script, node, _value(script, node, variables, split=False))


def elements(script: Script, array: Node, variables: Variables) -> tuple[Traced, ...]:
    """The elements of `( … )`; raises Dynamic. A pattern such as `name?` is taken as it is written."""
    found: list[Traced] = []
    for before, after in pairwise(array.children):
        touching = before.end_byte == after.start_byte and before.type != "(" and after.type != ")"
        if touching or not script.apart(before, after):
            raise Dynamic(script.place(after), "a backslash outside of quotes")
    for node in array.children:
        if node.type in {"(", ")", "comment"} or not node.is_named:
            continue
        found += _element(script, node, variables)
        if len(found) > MOST:
            raise Dynamic(script.place(node), f"more than {MOST} elements")
    return tuple(found)


def _element(script: Script, node: Node, variables: Variables) -> tuple[Traced, ...]:
    source = script.source(node).strip()
    each = _EACH.fullmatch(source) or _EACH.fullmatch(source[1:-1] if source[:1] == '"' else "")
    if each:
        words = variables(each[1])
        if words is None:
            raise Dynamic(script.place(node), f"{source}, whose value is not known")
        return words if source[0] == '"' else tuple(part for word in words for part in word.split())
    unquoted = _unquoted(script, node)
    if _TILDE.search(unquoted):
        raise Dynamic(script.place(node), "a ~ that stands for a home directory")
    if _BRACES.search(unquoted):
        raise Dynamic(script.place(node), "a list in braces")
    if re.match(r"\[[^]]*\]\+?=", unquoted):
        raise Dynamic(script.place(node), "an element with an index")
    if node.type in {"simple_expansion", "expansion"}:
        return _value(script, node, variables, split=False).split()
    return (_limited(script, node, _value(script, node, variables, split=True)),)


def _unquoted(script: Script, node: Node) -> str:
    """The parts of a word that are neither quoted nor expanded; a space stands for each other part."""
    parts = node.children if node.type == "concatenation" else [node]
    return "".join(script.source(part) if part.type in _PLAIN else " " for part in parts)


def _limited(script: Script, node: Node, value: Traced) -> Traced:
    if len(value.value) > LONGEST:
        raise Dynamic(script.place(node), f"a value of more than {LONGEST} characters")
    return value


def _value(script: Script, node: Node, variables: Variables, *, split: bool) -> Traced:
    """`split`: an expansion without quotes would be split into words."""
    match node.type:
        case "concatenation":
            _without_gaps(script, node)
            return _join([_value(script, one, variables, split=split) for one in node.children])
        case "string":
            return _string(script, node, variables)
        case "raw_string":
            return script.traced(node.start_byte + 1, node.end_byte - 1)
        case "ansi_c_string":
            return _ansi(script, node)
        case "simple_expansion" | "expansion":
            value = _expansion(script, node, variables)
            if split and (not value.value or value.value.split() != [value.value]):
                raise Dynamic(
                    script.place(node), f"{script.source(node).strip()} without quotes inside a word"
                )
            return value
        case kind if kind in _PLAIN:
            return _unescaped(script.of(node), re.compile(r"\\(.)", re.S))
        case "command_substitution":
            raise Dynamic(script.place(node), "the output of a command")
        case _:
            raise Dynamic(script.place(node), f"{script.source(node).strip()[:40]!r}")


def _without_gaps(script: Script, node: Node) -> None:
    end = node.start_byte
    for child in node.children:
        if child.start_byte != end:
            raise Dynamic(script.place(node), f"{script.source(node)[:40]!r}")
        end = child.end_byte


def _join(parts: list[Traced]) -> Traced:
    return Traced("".join(one.value for one in parts), tuple(mark for one in parts for mark in one.marks))


def _unescaped(raw: Traced, escape: re.Pattern[str]) -> Traced:
    """`raw` with what `escape` finds replaced by its first group; a character's place is then its backslash's."""
    if "\\" not in raw.value:
        return raw
    parts: list[Traced] = []
    end = 0
    for found in escape.finditer(raw.value):
        parts.append(raw.part(end, found.start()))
        kept = found[1] if found[1] != "\n" else ""
        parts.append(Traced(kept, raw.marks[found.start() : found.start() + len(kept)]))
        end = found.end()
    return _join([*parts, raw.part(end, len(raw.value))])


def _string(script: Script, node: Node, variables: Variables) -> Traced:
    """Between double quotes: from the text itself, as the grammar's nodes leave blanks out or take them in."""
    parts: list[Traced] = []
    at = node.start_byte + 1
    escape = re.compile(r"\\([$`\"\\\n])")
    for child in node.children:
        if child.type in {'"', "string_content", "$"}:
            continue
        source = script.source(child)
        start = child.start_byte + len(source.encode()) - len(source.lstrip().encode())
        parts.append(_unescaped(script.traced(at, start), escape))
        parts.append(_value(script, child, variables, split=False))
        at = child.end_byte
    return _join([*parts, _unescaped(script.traced(at, node.end_byte - 1), escape)])


def _expansion(script: Script, node: Node, variables: Variables) -> Traced:
    source = script.source(node).strip()
    found = _NAME.fullmatch(source)
    if found is None:
        raise Dynamic(script.place(node), source[:40])
    words = variables(found[1] or found[2])
    if words is None:
        raise Dynamic(script.place(node), f"{source}, whose value is not known")
    return words[0] if words else Traced("", ())


def _ansi(script: Script, node: Node) -> Traced:
    raw = script.traced(node.start_byte + 2, node.end_byte - 1)
    parts: list[Traced] = []
    end = 0
    for found in _ESCAPE.finditer(raw.value):
        parts.append(raw.part(end, found.start()))
        meant = _meant(found[1])
        if not meant or ("\x80" <= meant <= "\xff" and found[1][0] not in "uU" and len(found[1]) > 1):
            raise Dynamic(script.place(node), f"{found[0]!r} in $'…'")
        parts.append(Traced(meant, raw.marks[found.start() : found.start() + 1] * len(meant)))
        end = found.end()
    return _join([*parts, raw.part(end, len(raw.value))])


def _meant(escape: str) -> str:
    """What a backslash and `escape` stand for in $'…'; empty where it is a NUL or no character."""
    if escape in _SIMPLE:
        return _SIMPLE[escape]
    if escape[0] in "01234567":
        return chr(int(escape, 8) & 0xFF).strip("\0")
    if escape[0] in "xuU" and len(escape) > 1:
        code = int(escape[1:], 16)
        return "" if not code or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF else chr(code)
    if escape[0] == "c" and len(escape) > 1:
        return chr(ord(escape[1].upper()) ^ 0x40) if "@" < escape[1].upper() <= "_" else ""
    return escape if escape in "\\'\"?" else f"\\{escape}"
