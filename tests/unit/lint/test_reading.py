from __future__ import annotations

from dataclasses import replace

from pipeline.errors import Place
from pipeline.lint import Severity, lint
from pipeline.plan import resolve
from pipeline.scenario import read
from pipeline.setup.from_plan import from_plan
from pipeline.setup.model import Unread


def test_what_was_not_understood_is_a_note_at_its_place() -> None:
    loaded = read("rx560")
    sound = from_plan(resolve(loaded), loaded)
    assert "DB001" not in [one.code for one in lint(sound)]
    parts = tuple(Unread(place=Place(file="a", line=n), what=f"not read: {n}") for n in (3, 7))
    found = [one for one in lint(replace(sound, unread=parts)) if one.code == "DB001"]
    assert [(one.place, one.found, one.severity) for one in found] == [
        (part.place, part.what, Severity.NOTE) for part in parts
    ]
