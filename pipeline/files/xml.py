"""XML with the exact place of every element and attribute.

lxml knows the line of an element, not its column, and nothing of its attributes. A document that it has found to be
well-formed and that has no DTD can be taken apart by looking for its tags alone; they come in the order of the tree.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import BadInput, Place

if TYPE_CHECKING:
    from lxml.etree import _Element

SIZE_LIMIT = 4 << 20
DEPTH_LIMIT = 64
ELEMENT_LIMIT = 5_000
TAG_LIMIT = 1 << 16
LINE_LIMIT = 100_000

# Of a line that a message shows.
_LONGEST_LINE = 500

# Possessive: a tag that does not end costs one pass, not one for each of its characters.
_TAG = re.compile(r"""<[^\s/<>!?"']++[^<>"']*+(?:"[^<"]*+"[^<>"']*+|'[^<']*+'[^<>"']*+)*+>""")
_ATTRIBUTE = re.compile(r"""([^\s=<>/"']++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)')""")
_SPACE = re.compile(r"\s*+")
_SKIPPED = (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>"))


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document: `root`, and where things stand in the text that it was parsed from."""

    root: _Element
    shown: str
    _text: str
    _starts: dict[_Element, int]
    _lines: tuple[int, ...]

    def place(self, element: _Element, attribute: str | None = None) -> Place:
        """The place of an element, or of the value of one of its attributes where it has it."""
        start = self._starts[element]
        if attribute is not None:
            tag = _TAG.match(self._text, start)
            found = _ATTRIBUTE.finditer(self._text, start, tag.end() if tag else start)
            start = next((one.start(one.lastindex or 0) for one in found if one[1] == attribute), start)
        return _place(self._text, self._lines, start, self.shown)

    def text_place(self, element: _Element) -> Place:
        """The place of the text of an element, of the element itself where it has none."""
        tag = _TAG.match(self._text, self._starts[element])
        if tag is None or not (element.text or "").strip():
            return self.place(element)
        text = _SPACE.match(self._text, tag.end())
        return _place(self._text, self._lines, text.end() if text else tag.end(), self.shown)


def parse(data: bytes, *, shown: str) -> Document:
    """The document in `data`; `shown` is what its places call the file.

    Raises BadInput, with the place, for what is no well-formed XML in UTF-8, has a DTD, or is larger or deeper than
    any file that libvirt writes. No entity is resolved and nothing else is read.
    """
    from lxml import etree

    if len(data) > SIZE_LIMIT:
        raise BadInput(
            f"larger than {SIZE_LIMIT >> 20} MiB", place=Place(file=shown), hint="is it the right file?"
        )
    text = _decoded(data, shown)
    if text.count("\n") >= LINE_LIMIT:
        raise BadInput(f"more than {LINE_LIMIT} lines", place=Place(file=shown), hint="is it the right file?")
    lines = (0, *(match.end() for match in re.finditer("\n", text)))
    starts = tuple(_starts(text, lines, shown))
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        line, column = getattr(error, "position", (0, 0))
        what = " ".join(str(getattr(error, "msg", error)).split()).partition(", line")[0]
        shown_line = _line(text, lines, line) if line else ""
        raise BadInput(
            f"not well-formed XML: {what}",
            place=Place(file=shown, line=line, column=max(column, 0), text=shown_line),
            hint="`virsh dumpxml NAME` prints a domain as libvirt has it; `xmllint --noout FILE` checks a file",
        ) from None
    elements = tuple(root.iter(etree.Element))
    if len(elements) != len(starts):
        raise BadInput("not XML as libvirt writes it", place=Place(file=shown, line=1, column=1))
    return Document(root, shown, text, dict(zip(elements, starts, strict=True)), lines)


def _decoded(data: bytes, shown: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise BadInput(
            "not UTF-8 text",
            place=Place(file=shown, line=line, column=column),
            hint="libvirt writes its XML in UTF-8",
        ) from None


def _starts(text: str, lines: tuple[int, ...], shown: str) -> Iterator[int]:
    """Where each start tag begins, as far as the text is well-formed; the parser says what is wrong with the rest."""
    at = depth = count = 0
    while (at := text.find("<", at)) >= 0:
        skipped = next((end for begin, end in _SKIPPED if text.startswith(begin, at)), None)
        if skipped is not None:
            end = text.find(skipped, at)
            if end < 0:
                return
            at = end + len(skipped)
        elif text.startswith("<!", at):
            raise BadInput(
                "has a document type declaration",
                place=_place(text, lines, at, shown),
                hint="libvirt writes none, and with one a few lines can stand for gigabytes; remove it",
            )
        elif text.startswith("</", at):
            depth -= 1
            at += 2
        else:
            tag = _TAG.match(text, at)
            if tag is None:
                return
            closed = text[tag.end() - 2] == "/"
            count += 1
            if depth >= DEPTH_LIMIT or count > ELEMENT_LIMIT or tag.end() - at > TAG_LIMIT:
                raise BadInput(
                    f"more than {DEPTH_LIMIT} levels, {ELEMENT_LIMIT} elements or {TAG_LIMIT} characters in a tag",
                    place=_place(text, lines, at, shown),
                    hint="a domain of libvirt is far smaller",
                )
            yield at
            depth += not closed
            at = tag.end()


def _place(text: str, lines: tuple[int, ...], at: int, shown: str) -> Place:
    line = bisect_right(lines, at)
    return Place(file=shown, line=line, column=at - lines[line - 1] + 1, text=_line(text, lines, line))


def _line(text: str, lines: tuple[int, ...], number: int) -> str:
    if number > len(lines):
        return ""
    start = lines[number - 1]
    end = lines[number] if number < len(lines) else len(text)
    return text[start : min(end, start + _LONGEST_LINE)].strip()
