"""The score: its lines, its exit status, and the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from junitparser import JUnitXml

from pipeline.errors import BadInput, ExitCode
from pipeline.faults import report
from pipeline.faults.judge import Booted, Linted, Mark, Shown
from pipeline.faults.loader import read_all
from pipeline.faults.score import Score


def lint(mark: Mark, said: str = "") -> Linted:
    return Linted(name=mark.name.lower(), mark=mark, codes=("DB101",), said=said)


def boot(shown: Shown, said: str = "") -> Booted:
    return Booted(name=shown.name.lower(), shown=shown, failed=("a[1]",), seconds=7.0, said=said)


@pytest.mark.parametrize(
    ("score", "status"),
    [
        (Score(linted=(lint(Mark.CAUGHT),), good=(lint(Mark.GOOD),)), ExitCode.HELD),
        (Score(linted=(lint(Mark.CAUGHT), lint(Mark.MISSED))), ExitCode.FAILED),
        (Score(linted=(lint(Mark.WRONG_REASON),)), ExitCode.FAILED),
        (Score(linted=(lint(Mark.CAUGHT),), good=(lint(Mark.FALSE_ALARM),)), ExitCode.FAILED),
        (Score(booted=(boot(Shown.AS_STATED),)), ExitCode.HELD),
        (Score(booted=(boot(Shown.PASSED),)), ExitCode.FAILED),
        (Score(booted=(boot(Shown.OTHERWISE),)), ExitCode.FAILED),
        (Score(booted=(boot(Shown.LAB_FAULT), boot(Shown.PASSED))), ExitCode.LAB_FAULT),
        (Score(booted=(boot(Shown.NO_VERDICT),)), ExitCode.LAB_FAULT),
    ],
)
def test_the_exit_status(score: Score, status: ExitCode) -> None:
    assert score.exit_code is status


ALL = Score(
    linted=(lint(Mark.CAUGHT), lint(Mark.MISSED, "DB101 not found"), lint(Mark.WRONG_REASON, "\x1b[2J")),
    good=(lint(Mark.GOOD), lint(Mark.FALSE_ALARM, "x.yaml: error DB101")),
    booted=tuple(boot(shown) for shown in Shown),
    lint_seconds=1.25,
    boot_seconds=60,
)


def test_the_score_in_a_line_each() -> None:
    assert ALL.lines() == (
        "lint: 1 of 3 faults caught, 1 missed, 1 for the wrong reason; 1 false alarms on 2 good readings; 1.2 s",
        "boot: 1 of 5 failed as stated, 1 failed for another reason, 1 passed, 1 lab fault, 1 no verdict; 60 s",
    )
    assert Score().lines() == ()


def test_the_report(tmp_path: Path) -> None:
    catalogue = read_all(["subsystem-id"])
    report.write(ALL, catalogue, tmp_path / "report")
    report.check(tmp_path / "report")
    report.write(ALL, catalogue, tmp_path / "report")
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == sorted(report.FILES)
    found = json.loads((tmp_path / "report/faults.json").read_text())
    assert found["score"] == list(ALL.lines())
    assert found["exit_code"] == 3
    assert found["faults"][0]["finding"] == "DB101"
    assert [one["mark"] for one in found["lint"]] == ["caught", "missed", "caught for the wrong reason"]
    document = JUnitXml.fromfile(str(tmp_path / "report/junit.xml"))
    assert (document.tests, document.failures, document.errors) == (10, 5, 2)
    table = (tmp_path / "report/faults.txt").read_text()
    assert "missed        missed: DB101  DB101 not found\n" in table
    assert "\x1b" not in table + (tmp_path / "report/junit.xml").read_text()


def test_a_directory_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(BadInput, match="holds 'mine'"):
        report.check(tmp_path)
