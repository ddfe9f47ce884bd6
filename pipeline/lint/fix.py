"""Applies the edits of findings to the texts of files; everything else in them stays as it is, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.lint import lists, spot
from pipeline.lint.edit import Edit, Kind
from pipeline.lint.finding import Finding
from pipeline.lint.spot import CannotMend

_LATER = "another mend is in its way; it can be made after that one"


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """A finding that was not mended, and why."""

    finding: Finding
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Mended:
    """The `texts` that changed, by file; the findings whose edits were made, and the others that have any."""

    texts: Mapping[str, str]
    mended: tuple[Finding, ...]
    left: tuple[Left, ...]


@dataclass(frozen=True, slots=True)
class _Spot:
    """An edit with the offsets of its `old`; `order` is that in which findings want it."""

    edit: Edit
    start: int
    end: int
    order: int
    finding: int

    @property
    def adds(self) -> bool:
        return self.edit.kind in {Kind.ADD_AFTER, Kind.ADD_LINE}

    def clashes(self, other: _Spot) -> bool:
        """Whether only one of two can be made; what is put behind a value goes with any change of the value."""
        if self.edit == other.edit or (self.adds and other.adds):
            return False
        same = (self.start, self.end) == (other.start, other.end)
        return (
            (not same or not (self.adds or other.adds)) and self.start < other.end and other.start < self.end
        )


def fix(texts: Mapping[str, str], findings: Iterable[Finding]) -> Mended:
    """Make the edits of the findings, those of one finding all or none.

    `texts` are contents by the file that places name. The earlier of two findings that are in each other's way goes
    first.
    """
    wanted = tuple(one for one in findings if one.edits)
    refused: dict[int, str] = {}
    chosen = _choose(texts, wanted, refused)
    while True:
        try:
            changed = _all(texts, chosen)
            break
        except _Refused as error:
            refused[error.finding] = error.why
            chosen = {number: one for number, one in chosen.items() if number != error.finding}
    return Mended(
        texts={file: text for file, text in changed.items() if text != texts[file]},
        mended=tuple(wanted[number] for number in chosen),
        left=tuple(Left(finding=wanted[number], why=refused[number]) for number in sorted(refused)),
    )


class _Refused(Exception):
    def __init__(self, finding: int, why: str) -> None:
        super().__init__(why)
        self.finding = finding
        self.why = why


def _choose(
    texts: Mapping[str, str], findings: tuple[Finding, ...], refused: dict[int, str]
) -> dict[int, tuple[_Spot, ...]]:
    """The spots of each finding whose edits can be located and are not in the way of an earlier one's."""
    chosen: dict[int, tuple[_Spot, ...]] = {}
    for number, finding in enumerate(findings):
        try:
            spots = tuple(_spot(texts, edit, number, order) for order, edit in enumerate(finding.edits))
        except CannotMend as error:
            refused[number] = str(error)
            continue
        others = [
            one
            for earlier in chosen.values()
            for one in earlier
            if any(one.edit.place.file == mine.edit.place.file and one.clashes(mine) for mine in spots)
        ]
        if others:
            refused[number] = _LATER
        else:
            chosen[number] = spots
    return chosen


def _spot(texts: Mapping[str, str], edit: Edit, finding: int, order: int) -> _Spot:
    file = edit.place.file
    if edit.place.line and file not in texts:
        raise CannotMend(f"{file} cannot be written")
    start, end = spot.find(texts.get(file, ""), edit)
    return _Spot(edit, start, end, order, finding)


def _all(texts: Mapping[str, str], chosen: Mapping[int, tuple[_Spot, ...]]) -> dict[str, str]:
    by_file: dict[str, dict[Edit, _Spot]] = {}
    for spots in chosen.values():
        for one in spots:
            by_file.setdefault(one.edit.place.file, {}).setdefault(one.edit, one)
    return {file: _one_file(file, texts[file], tuple(spots.values())) for file, spots in by_file.items()}


def _one_file(file: str, text: str, spots: tuple[_Spot, ...]) -> str:
    """Make the edits from the end of the text backwards, so that what is still to come stays where it was."""
    form = spot.form(file, text)
    todo = sorted(spots, key=lambda one: (one.start, one.end, one.adds, one.finding, one.order))
    while todo:
        one = todo.pop()
        try:
            change = _change(text, one, form)
        except CannotMend as error:
            raise _Refused(one.finding, str(error)) from None
        if any(earlier.end > change.start for earlier in todo if earlier.start != one.start):
            raise _Refused(one.finding, _LATER)
        text = text[: change.start] + change.new + text[change.end :]
    return text


def _change(text: str, one: _Spot, form: spot.Form) -> lists.Change:
    match one.edit.kind:
        case Kind.REPLACE:
            return lists.put(text, one.start, one.end, one.edit.new, form)
        case Kind.REMOVE:
            return lists.cut(text, one.start, one.end, form)
        case Kind.ADD_AFTER:
            return lists.add(text, one.start, one.end, one.edit.new, form)
        case Kind.ADD_LINE:
            if "\n" in one.edit.new or "\r" in one.edit.new:
                raise CannotMend("more than one line would be written")
            return lists.line(text, one.end, one.edit.new)
