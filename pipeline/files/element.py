"""An XML element with its places, and its values read or refused with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import BadInput, Place
from pipeline.files.xml import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a document."""

    node: _Element
    document: Document

    @property
    def tag(self) -> str:
        """Its name, with the namespace in braces where it has one."""
        return str(self.node.tag)

    @property
    def text(self) -> str:
        """Its own text without space around it."""
        return (self.node.text or "").strip()

    @property
    def place(self) -> Place:
        """Where its tag begins."""
        return self.document.place(self.node)

    @property
    def text_place(self) -> Place:
        """Where its text begins."""
        return self.document.text_place(self.node)

    def at(self, attribute: str) -> Place:
        """Where the value of an attribute begins; the place of the element where it has no such attribute."""
        return self.document.place(self.node, attribute)

    def get(self, attribute: str) -> str | None:
        """The value of an attribute."""
        return self.node.get(attribute)

    def all(self, tag: str) -> Iterator[Element]:
        """The children of that name, or of any with `*`."""
        return (Element(one, self.document) for one in self.node.iterchildren(tag))

    def everywhere(self, tag: str) -> Iterator[Element]:
        """The same at any depth."""
        return (Element(one, self.document) for one in self.node.iter(tag))

    def child(self, tag: str) -> Element | None:
        """The first child of that name."""
        return next(self.all(tag), None)

    def below(self, *path: str) -> Iterator[Element]:
        """Every element that the names lead to."""
        if not path:
            yield self
            return
        for one in self.all(path[0]):
            yield from one.below(*path[1:])

    def number(self, attribute: str, read: Callable[[str], T]) -> T | None:
        """What `read` makes of an attribute, None where there is none; BadInput where `read` raises ValueError."""
        written = self.get(attribute)
        return None if written is None else _read(written, read, self.at(attribute))

    def value(self, read: Callable[[str], T]) -> T:
        """The same for the text."""
        return _read(self.text, read, self.text_place)


def _read(text: str, read: Callable[[str], T], place: Place) -> T:
    try:
        return read(text)
    except ValueError as error:
        message = str(error)[:200]
        raise BadInput(
            message, place=place, hint="see libvirt's docs/formatdomain for what it may say"
        ) from None
