"""The exact change of a file that a fix consists of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import Place
from pipeline.plan.model import Written


class Kind(StrEnum):
    """What becomes of the text at the place."""

    REPLACE = "replace"
    REMOVE = "remove"
    ADD_AFTER = "add after"
    ADD_LINE = "add line"


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """A change at `place`, where `old` has to stand: nothing is changed where it does not.

    REMOVE takes the separator of the list along in which `old` stands, ADD_AFTER writes it between `old` and `new`.
    ADD_LINE writes the line `new` behind that of `place`; `old` is empty.
    """

    kind: Kind
    place: Place
    old: str
    new: str = ""


def replace(written: Written[str], new: str) -> Edit:
    """Write `new` in place of a value."""
    return Edit(kind=Kind.REPLACE, place=written.place, old=written.value, new=new)


def remove(written: Written[str]) -> Edit:
    """Take a value out of the list in which it stands."""
    return Edit(kind=Kind.REMOVE, place=written.place, old=written.value)


def add_after(written: Written[str], new: str) -> Edit:
    """Put `new` into the list behind a value."""
    return Edit(kind=Kind.ADD_AFTER, place=written.place, old=written.value, new=new)


def add_line(place: Place, new: str) -> Edit:
    """Write a line behind that of `place`."""
    return Edit(kind=Kind.ADD_LINE, place=place, old="", new=new)
