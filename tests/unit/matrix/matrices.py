"""What matrices of two releases have found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.matrix import comparison
from pipeline.matrix.baseline import Baseline, of
from pipeline.matrix.found import Found
from pipeline.matrix.machine_types import by_facts
from pipeline.matrix.question import Question
from pipeline.matrix.result import CellResult, Ended
from pipeline.matrix.selection import Release, select
from tests.unit.matrix.cells import cell, result

OWN = "pc-q35-9.2"
OLD = "pc-q35-8.0"


def found(
    results: list[CellResult],
    *,
    own: str = OWN,
    kept: list[Baseline] | None = None,
    lane: str = "fast",
    **more: Any,
) -> Found:
    releases = [Release(name=name, version=name) for name in ("10.0", "11.1")]
    selection = select(releases, own=own, machines="8.0,9.2,11.1,5.1", lane=lane)
    types = {one.name: by_facts(one.name) for one in releases}
    question = Question(
        scenario="rx560",
        asked="",
        dryboot="",
        selection=selection,
        releases=types,
        needs={"QEMU 10.0": "abc"},
        keys={},
    )
    order = list(selection.cells)
    assert {one.cell for one in results} <= set(order)
    return Found(
        question=question,
        results=tuple(sorted(results, key=lambda one: order.index(one.cell))),
        comparisons=comparison.compare_all(results, kept or [], types),
        types=(),
        answer=None,
        **more,
    )


def baselines(*results: CellResult) -> list[Baseline]:
    return [one for one in map(of, results) if one]


FAILED = result(cell("11.1", OLD), failed=("firmware",))
OWN_FAILED = result(cell("11.1", OWN), failed=("firmware",))
FAULT = replace(result(cell("10.0", OLD), ended=Ended.LAB_FAULT), fault="no mirror\n  hint: later", checks=())
HELD = result(cell("10.0", OWN))
