"""Reads what the program in L2 said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.lab import payload
from pipeline.lab.functions.program import PREFIX


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One line about a function: `function` counts from 0 in the order of the functions that were asked for.

    `what` is its first word; `fields` are its NAME=VALUE words, `rest` the others.
    """

    function: int
    what: str
    fields: Mapping[str, str]
    rest: str = ""

    def number(self, name: str) -> int:
        """A field as a number, 0 where it is missing or none."""
        try:
            return int(self.fields.get(name, "0"), 0)
        except ValueError:
            return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """`began`: the program ran; `complete`: it came to its end."""

    began: bool
    complete: bool
    told: tuple[Told, ...]

    def of(self, function: int, what: str) -> Told | None:
        """The line of that kind about a function."""
        return next((one for one in self.told if (one.function, one.what) == (function, what)), None)

    def error(self, function: int, test: str) -> str:
        """What went wrong in a test, empty where nothing did."""
        for one in self.told:
            if one.function == function and one.what == "error" and one.fields.get("test") in {test, "open"}:
                return one.rest or "an error without a text"
        return ""


def read(text: str) -> Report:
    """Read the program's lines from a serial log; what is no line of its own is passed over."""
    told: list[Told] = []
    began = complete = False
    for line in map(payload.clean, text.splitlines()):
        _, prefix, said = line.partition(PREFIX + " ")
        words = said.split()
        if not prefix or not words:
            continue
        if words[0] in {"begin", "end"}:
            began, complete = True, words[0] == "end"
        elif words[0].isascii() and words[0].isdigit() and len(words) > 1:
            fields = {
                name: value for name, found, value in (word.partition("=") for word in words[2:]) if found
            }
            rest = " ".join(word for word in words[2:] if "=" not in word)
            told.append(Told(function=int(words[0]), what=words[1], fields=fields, rest=rest))
    return Report(began=began, complete=complete, told=tuple(told))
