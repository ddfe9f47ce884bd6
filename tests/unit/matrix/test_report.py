"""The reports of a matrix."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from junitparser import JUnitXml
from rich.console import Console

from pipeline.errors import BadInput
from pipeline.matrix import report
from pipeline.matrix.cell import Lane
from pipeline.matrix.found import Found, shown
from tests.unit.matrix.cells import cell, result
from tests.unit.matrix.matrices import FAILED, FAULT, HELD, OLD, OWN, OWN_FAILED, baselines, found


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
