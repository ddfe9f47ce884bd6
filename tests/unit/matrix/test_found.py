"""What makes a matrix fail, and its reports."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml
from rich.console import Console

from pipeline.errors import BadInput
from pipeline.matrix import comparison, report
from pipeline.matrix.baseline import Baseline, of
from pipeline.matrix.cell import Lane
from pipeline.matrix.found import Found, shown
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


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([HELD], 0),
        ([HELD, FAILED], 0),
        ([HELD, OWN_FAILED], 1),
        ([HELD, FAULT], 3),
        ([OWN_FAILED, FAULT], 1),
        ([], 0),
    ],
)
def test_the_own_type_counts_and_others_are_information(results: list[CellResult], status: int) -> None:
    assert found(results).exit_code == status


def test_a_cell_that_held_in_its_baseline_counts() -> None:
    before = result(FAILED.cell)
    broken = found([FAILED], kept=baselines(before))
    assert broken.exit_code == 1
    assert broken.failures == ("pc-q35-8.0 on QEMU 11.1, fast: firmware: the shell came up",)
    assert found([FAILED], kept=baselines(FAILED)).exit_code == 0
    assert found([FAILED], kept=baselines(before), accepted=True).exit_code == 0
    assert found([OWN_FAILED], accepted=True).exit_code == 1


def test_a_change_that_breaks_nothing_does_not_count() -> None:
    changed = result(HELD.cell, changed={"pci/01:00.0/BAR 0": None})
    again = found([changed], kept=baselines(HELD))
    assert again.comparisons[0].state is comparison.State.NOTICEABLE
    assert again.exit_code == 0


def test_the_own_type_must_not_be_taken_away() -> None:
    gone = found([], own="pc-q35-5.1")
    assert gone.exit_code == 1
    assert gone.failures == ("QEMU 11.1 no longer has pc-q35-5.1, the scenario's own machine type",)
    # A release that is too old for it is not what one moves to.
    assert found([], own="pc-q35-11.1").exit_code == 0


def shown_table(one: Found) -> str:
    stream = io.StringIO()
    Console(file=stream, width=160).print(report.table(one))
    return stream.getvalue()


def test_the_table_has_every_pair() -> None:
    fault = replace(FAULT, times={"cell": 7.4})
    text = shown_table(found([HELD, FAILED, fault, OWN_FAILED]))
    rows = {line.split()[1]: line.split("│")[2:-1] for line in text.splitlines() if "pc-q35" in line}
    cells = {name: [" ".join(column.split()) for column in row] for name, row in rows.items()}
    assert cells["pc-q35-5.1"] == ["-", "gone"]
    assert cells["pc-q35-8.0"] == ["lab fault 7 s", "failed 0 s, firmware"]
    assert cells["pc-q35-9.2"] == ["held 0 s", "failed 0 s, firmware"]
    assert cells["pc-q35-11.1"] == ["not yet there", "-"]
    assert "(own)" in next(line for line in text.splitlines() if OWN in line)


def test_the_table_names_lanes_and_changes() -> None:
    nested = result(cell("10.0", OWN, Lane.NESTED))
    changed = result(HELD.cell, changed={"pci/01:00.0/BAR 0": None})
    text = shown_table(found([nested, changed], lane="both", kept=baselines(HELD)))
    assert "fast: held 0 s, changed, the guest notices" in text
    assert "nested: held 0 s" in text


def test_junit_tells_failures_faults_and_information_apart() -> None:
    document = JUnitXml.fromstring(report.junit(found([HELD, FAILED, FAULT, OWN_FAILED])))
    told = {
        (suite.name, case.name): [type(one).__name__ for one in case.result]
        for suite in document
        for case in suite
    }
    assert told == {
        ("rx560.QEMU 10.0.fast", OLD): ["Error"],
        ("rx560.QEMU 10.0.fast", OWN): [],
        ("rx560.QEMU 11.1.fast", OLD): ["Skipped"],
        ("rx560.QEMU 11.1.fast", OWN): ["Failure"],
    }
    assert (document.tests, document.failures, document.errors, document.skipped) == (4, 1, 1, 1)


def test_json_has_the_cells_and_what_is_absent() -> None:
    value = json.loads(report.as_json(found([HELD, FAILED, FAULT], kept=baselines(HELD))))
    assert value["exit_code"] == 3
    assert value["own_machine_type"] == OWN
    ended = {
        (one["qemu"], one["machine"]): (one["ended"], one["counts"], one["compared"])
        for one in value["cells"]
    }
    assert ended == {
        ("10.0", OWN): ("held", False, "same"),
        ("10.0", OLD): ("lab fault", False, "not known"),
        ("11.1", OLD): ("failed", False, "new, no baseline"),
    }
    assert {"qemu": "11.1", "machine": "pc-q35-5.1", "why": "gone"} in value["absent"]
    assert value["comparison"]["cells"][0]["state"]


def test_markdown_cannot_be_broken_out_of() -> None:
    odd = replace(FAULT, fault="a | b <script> [x](y)\x1b[0m `z`")
    text = report.markdown(found([HELD, odd, OWN_FAILED]))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 4 for line in table)
    assert "**pc\\-q35\\-9.2** (own)" in text
    assert "<script>" not in text.replace("\\<", "")
    assert "\x1b" not in text
    assert "**Fails**" in text


def test_progress_is_a_line_a_cell() -> None:
    stream = io.StringIO()
    progress = report.Progress(Console(file=stream, width=200), 12)
    progress.ended(replace(HELD, times={"cell": 8.25}))
    progress.ended(replace(FAULT, attempts=2))
    progress.ended(FAILED, before=True)
    first, second, third = stream.getvalue().splitlines()
    assert first == f" 1/12   8.2 s held      {shown(HELD.cell)}"
    assert second == f" 2/12   0.0 s lab fault {shown(FAULT.cell)} (2 tries): no mirror"
    assert third.startswith(" 3/12 from before failed")


def test_a_report_takes_only_the_place_of_a_report(tmp_path: Path) -> None:
    report.write(found([HELD]), tmp_path / "report", {"rx560.yaml": "text"})
    assert {path.name for path in (tmp_path / "report").iterdir()} == set(report.FILES)
    report.check(tmp_path / "report")
    report.write(found([HELD]), tmp_path / "report", {})
    assert not (tmp_path / "report/proposal").exists()
    (tmp_path / "report/mine").touch()
    with pytest.raises(BadInput, match="which no report has"):
        report.check(tmp_path / "report")
