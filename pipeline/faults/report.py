"""The score as JSON, as JUnit XML and as a table of text."""

from __future__ import annotations

import json
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from pipeline.faults.judge import Booted, Linted, Mark, Shown
from pipeline.faults.loader import LoadedFault
from pipeline.faults.score import Score
from pipeline.report import files
from pipeline.report.plain import plain

FILES = ("faults.json", "faults.txt", "junit.xml")


def check(target: Path) -> None:
    """Raises BadInput if `target` holds something that is not an older report."""
    files.check(target, ours=FILES)


def write(score: Score, catalogue: tuple[LoadedFault, ...], target: Path) -> None:
    """Write the three files into the directory `target`, in place of those of an older report."""
    with files.fresh(target) as folder:
        (folder / "faults.json").write_text(as_json(score, catalogue), encoding="utf-8")
        (folder / "faults.txt").write_text(table(score), encoding="utf-8")
        (folder / "junit.xml").write_bytes(junit(score))


def as_json(score: Score, catalogue: tuple[LoadedFault, ...]) -> str:
    """The document: every fault with its sources and what came of it. Times in seconds."""
    document = {
        "schema": 1,
        "score": list(score.lines()),
        "exit_code": int(score.exit_code),
        "seconds": {"lint": round(score.lint_seconds, 2), "boot": round(score.boot_seconds, 1)},
        "faults": [
            {
                "name": found.fault.name,
                "title": found.fault.title,
                "source": list(found.fault.source),
                "base": found.fault.base,
                "finding": found.fault.expect.finding,
                "boot": list(found.fault.expect.boot.checks),
                "not_bootable": found.fault.expect.boot.cannot,
            }
            for found in catalogue
        ],
        "lint": [_linted(one) for one in score.linted],
        "good": [_linted(one) for one in score.good],
        "boot": [_booted(one) for one in score.booted],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _linted(one: Linted) -> dict[str, object]:
    return {"name": one.name, "mark": one.mark.value, "codes": list(one.codes), "said": plain(one.said)}


def _booted(one: Booted) -> dict[str, object]:
    return {
        "name": one.name,
        "shown": one.shown.value,
        "failed": list(one.failed),
        "seconds": one.seconds,
        "said": plain(one.said),
    }


def table(score: Score) -> str:
    """A line for each fault and good scenario, and the score."""
    rows = [(one.name, one.mark.value, " ".join(one.codes), one.said) for one in (*score.linted, *score.good)]
    rows += [(one.name, one.shown.value, " ".join(one.failed), one.said) for one in score.booted]
    width = max((len(row[0]) for row in rows), default=0)
    lines = [f"{name:{width}}  {mark}: {found}  {said}".rstrip(" :") for name, mark, found, said in rows]
    return "".join(f"{plain(line)}\n" for line in (*lines, *score.lines()))


def junit(score: Score) -> bytes:
    """One test case for each fault and good scenario. A lab fault is an error, never a failure."""
    document = JUnitXml("dryboot faults")
    suites = {
        "faults.lint": [_case_of_lint(one) for one in score.linted],
        "faults.good": [_case_of_lint(one) for one in score.good],
        "faults.boot": [_case_of_boot(one) for one in score.booted],
    }
    for name, cases in suites.items():
        suite = TestSuite(name)
        suite.add_testcases(cases)
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    written: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return written


def _case_of_lint(one: Linted) -> TestCase:
    case = TestCase(one.name, classname="dryboot.faults.lint")
    if one.mark not in {Mark.CAUGHT, Mark.GOOD}:
        case.result = [Failure(plain(f"{one.mark.value}: {one.said}"), "lint")]
    return case


def _case_of_boot(one: Booted) -> TestCase:
    case = TestCase(one.name, classname="dryboot.faults.boot", time=one.seconds)
    said = plain(f"{one.shown.value}: {one.said}")
    if one.shown in {Shown.LAB_FAULT, Shown.NO_VERDICT}:
        case.result = [Error(said, "LabFault")]
    elif one.shown is not Shown.AS_STATED:
        case.result = [Failure(said, "boot")]
    return case
