"""How one value is put into a list of a file, taken out of it or written anew, with separators and quotes."""

from __future__ import annotations

import re
from typing import NamedTuple
from xml.sax.saxutils import escape

from pipeline.lint.spot import CannotMend, Form, line_around

_COMMAS = re.compile(r"""(?:^|[\s"'.])ids="?(?:[^\s"',=]+,)*$""")
_ENTRY = re.compile(r"[ \t]*-[ \t]+")
_NO_MORE = re.compile(r"[ \t]*(?:#.*)?")
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?\w+\+?=")
_QUOTED_BEFORE = re.compile(r"""[\[,(\s]["']$""")
# What the shell, modprobe or a kernel command line would not take as it stands.
_ODD = re.compile(r"""["'`$\\;&|<>(){}#!\x00-\x1f\x7f]""")
_PLAIN = re.compile(r"[A-Za-z_/][\w./=+-]*")
_NO_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


class Change(NamedTuple):
    """The characters from `start` to `end` become `new`."""

    start: int
    end: int
    new: str


def put(text: str, start: int, end: int, new: str, form: Form) -> Change:
    """Write `new` in place of the value from `start` to `end`."""
    if form is Form.XML:
        return Change(start, end, escape(new, {'"': "&quot;", "'": "&apos;"}))
    if form is not Form.YAML:
        return Change(start, end, _fit(new))
    first, *more = new.split(" ")
    if more:
        behind = add(text, start, end, " ".join(more), form)
        one = put(text, start, end, first, form)
        return Change(one.start, behind.end, f"{one.new}{text[one.end : behind.start]}{behind.new}")
    if _quote(text, start, end) or _plain(new) or (text[start:end].isdigit() and new.isdigit()):
        return Change(start, end, new if _plain(new) else _fit(new))
    alone = text[start - 1 : start] in {"", " ", "[", ",", "\n"} and text[end : end + 1] in {
        *("", " ", ",", "]", "}", "\r", "\n")
    }
    return Change(start, end, f'"{_fit(new)}"' if alone else _fit(new))


def cut(text: str, start: int, end: int, form: Form) -> Change:
    """Take the value from `start` to `end` out of its list, and with it one separator or, if it is alone, its line."""
    if form is Form.XML:
        raise CannotMend("an element of XML is not taken out")
    if _in_commas(text, start):
        return _cut_between_commas(text, start, end, form)
    return _cut_entry(text, start, end) if form is Form.YAML else _cut_word(text, start, end, form)


def add(text: str, start: int, end: int, new: str, form: Form) -> Change:
    """Put `new` behind the value from `start` to `end` into its list."""
    if form is Form.XML:
        raise CannotMend("an element of XML is not put in")
    first, last = line_around(text, start)
    before, behind = text[first:start], text[end:last]
    if _in_commas(text, start):
        return Change(end, end, f",{_fit(new)}")
    if form is Form.YAML:
        return _add_entry(text, start, end, new)
    quote = _quote_of_word(text, start, end)
    end += len(quote)
    if not quote and _ASSIGNMENT.fullmatch(before):
        raise CannotMend("the value stands without quotes, so nothing can follow it")
    alone = not before.strip() and not behind.strip()
    if form is Form.LISTED or (alone and form is Form.WORDS and "\n" in text.strip()):
        return Change(last, last, f"{_newline(text, last)}{before}{_fit(new)}")
    return Change(end, end, f" {quote}{_fit(new)}{quote}")


def line(text: str, last: int, new: str) -> Change:
    """Write the line `new` behind the one that ends at `last`."""
    return Change(last, last, f"{_newline(text, last)}{new}")


def _cut_between_commas(text: str, start: int, end: int, form: Form) -> Change:
    if text[end : end + 1] == ",":
        return Change(start, end + 1, "")
    if text[start - 1] == ",":
        return Change(start - 1, end, "")
    quoted = text[start - 1] == '"' and text[start - 2] == "="
    head = re.search(r"""[^\s"']*$""", text[: start - quoted])
    # ids= alone means nothing: the whole option goes.
    return cut(text, head.start() if head else start, end + (quoted and text[end : end + 1] == '"'), form)


def _cut_word(text: str, start: int, end: int, form: Form) -> Change:
    quote = _quote_of_word(text, start, end)
    start, end = start - len(quote), end + len(quote)
    first, last = line_around(text, start)
    before, behind = text[first:start], text[end:last]
    if not before.strip() and (form is Form.LISTED or not behind.strip()):
        return _cut_line(text, first, last)
    if form is Form.MODPROBE and _says_nothing(before.split(), behind.split()):
        if before.endswith("\\") or behind.endswith("\\") or text[:first].endswith(("\\\n", "\\\r\n")):
            raise CannotMend("the line goes on in another one")
        return _cut_line(text, first, last)
    if before.strip() and text[start - 1] in " \t":
        return Change(start - 1, end, "")
    return Change(start, end + (text[end : end + 1] in {" ", "\t"}), "")


def _says_nothing(before: list[str], behind: list[str]) -> bool:
    """Whether a line of modprobe.d without one of its words has nothing to say."""
    if len(before) < 2:
        return True
    left = [*before, *behind]
    return all(word in {"pre:", "post:", "\\"} for word in left[2:])


def _cut_entry(text: str, start: int, end: int) -> Change:
    quote = _quote(text, start, end)
    start, end = start - len(quote), end + len(quote)
    first, last = line_around(text, start)
    before, behind = text[first:start], text[end:last]
    if _ENTRY.fullmatch(before):
        if not _NO_MORE.fullmatch(behind):
            raise CannotMend("it is only a part of the entry")
        return _cut_block_entry(text, first, last, before[: before.index("-")])
    _check_flow(text, start)
    comma = re.match(r"[ \t]*,[ \t]*", text[end:last])
    if comma:
        if not before.strip() and _NO_MORE.fullmatch(text[end + comma.end() : last]):
            return _cut_line(text, first, last)
        return Change(start, end + comma.end(), "")
    head = text[:start].rstrip()
    return Change(len(head) - head.endswith(","), end, "") if head.endswith(",") else Change(start, end, "")


def _cut_block_entry(text: str, first: int, last: int, indent: str) -> Change:
    head = text[:first].rstrip()
    above = head[head.rfind("\n") + 1 :]
    below = text[last:].lstrip("\r\n").partition("\n")[0]
    if above.startswith(f"{indent}-") or below.startswith(f"{indent}-"):
        return _cut_line(text, first, last)
    if not above.endswith(":") or "#" in above:
        raise CannotMend("it is the only entry of its list")
    return Change(len(head), last, " []")


def _add_entry(text: str, start: int, end: int, new: str) -> Change:
    quote = _quote(text, start, end)
    words = [_entry(one, quote) for one in _fit(new).split()]
    first, last = line_around(text, start)
    before = text[first : start - len(quote)]
    if _ENTRY.fullmatch(before):
        return Change(last, last, "".join(f"{_newline(text, last)}{before}{one}" for one in words))
    _check_flow(text, start - len(quote))
    end += len(quote)
    return Change(end, end, "".join(f", {one}" for one in words))


def _entry(word: str, quote: str) -> str:
    quote = quote or ("" if _plain(word) else '"')
    return f"{quote}{word}{quote}"


def _check_flow(text: str, start: int) -> None:
    """Raises CannotMend where what begins at `start` is no entry of a list in brackets."""
    if text[:start].rstrip()[-1:] in {"[", ","}:
        depth = 0
        for character in reversed(text[:start]):
            if character in "[{" and not depth:
                if character == "[":
                    return
                break
            depth += (character in "]}") - (character in "[{")
    raise CannotMend("it is no entry of a list")


def _cut_line(text: str, first: int, last: int) -> Change:
    """Take out a line with its end; of the last line of a file, the end of the line before it."""
    behind = last + len(_newline(text, last)) if "\n" in text[last : last + 2] else last
    if behind == last and first:
        return Change(first - 1 - (text[first - 2 : first] == "\r\n"), last, "")
    return Change(first, behind, "")


def _in_commas(text: str, start: int) -> bool:
    return bool(_COMMAS.search(text[line_around(text, start)[0] : start]))


def _quote(text: str, start: int, end: int) -> str:
    """The quote that stands on both sides."""
    quote = text[start - 1 : start]
    return quote if quote and quote in "\"'" and text[end : end + 1] == quote else ""


def _quote_of_word(text: str, start: int, end: int) -> str:
    """The quote around a word that is an entry of its own, not of the text that holds the whole list."""
    quote = _quote(text, start, end)
    return quote if quote and _QUOTED_BEFORE.search(text[max(start - 2, 0) : start]) else ""


def _newline(text: str, last: int) -> str:
    """The end of the line that ends at `last`; that of the first line where it has none of its own."""
    if text[last : last + 1]:
        return "\r\n" if text[last] == "\r" else "\n"
    return "\r\n" if text[: text.find("\n") + 1].endswith("\r\n") else "\n"


def _plain(new: str) -> bool:
    return bool(_PLAIN.fullmatch(new)) and new.lower() not in _NO_TEXT


def _fit(new: str) -> str:
    if not new.strip() or _ODD.search(new):
        raise CannotMend(f"{new!r} would have to be quoted")
    return new
