"""Every verdict on a fault and on a good scenario, seen."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import Place
from pipeline.faults.judge import (
    Mark,
    Shown,
    boot_of_fault,
    lint_of_fault,
    lint_of_good,
)
from pipeline.faults.model import Expectation
from pipeline.lint import Finding, Severity

EXPECT = Expectation.model_validate(
    {
        "finding": "DB101",
        "severity": "error",
        "place": {"file": "etc/modprobe.d/vfio.conf", "text": "ids=148c"},
        "also": ("DB104",),
        "boot": {"cannot": "because"},
    }
)
RIGHT = Place(file="rx560/etc/modprobe.d/vfio.conf", line=3, column=1, text="options vfio-pci ids=148c:2385")


def finding(code: str, severity: str = "error", place: Place = RIGHT) -> Finding:
    return Finding(
        code=code, severity=Severity(severity), place=place, found="found", why="why", fix="fix", source="s"
    )


ELSEWHERE = Place(file="etc/default/grub", text=RIGHT.text)
ANOTHER_LINE = Place(file=RIGHT.file, text="softdep amdgpu pre: vfio-pci")


@pytest.mark.parametrize(
    ("findings", "mark", "said"),
    [
        ([finding("DB101")], Mark.CAUGHT, ""),
        ([finding("DB101"), finding("DB104"), finding("DB303", "note")], Mark.CAUGHT, ""),
        ([finding("DB101"), finding("DB701", "warning")], Mark.CAUGHT, ""),
        ([finding("DB101"), finding("DB102", "warning")], Mark.WRONG_REASON, "also found: DB102"),
        (
            [finding("DB101", place=ELSEWHERE)],
            Mark.WRONG_REASON,
            "error DB101 at etc/default/grub: options vfio-pci ids=148c:2385",
        ),
        (
            [finding("DB101", place=ANOTHER_LINE)],
            Mark.WRONG_REASON,
            "error DB101 at rx560/etc/modprobe.d/vfio.conf: softdep amdgpu pre: vfio-pci",
        ),
        (
            [finding("DB101", "warning")],
            Mark.WRONG_REASON,
            f"warning DB101 at {RIGHT}: options vfio-pci ids=148c:2385",
        ),
        ([finding("DB102")], Mark.WRONG_REASON, "DB101 not found, but DB102"),
        ([finding("DB104")], Mark.MISSED, "DB101 not found"),
        ([finding("DB102", "note")], Mark.MISSED, "DB101 not found"),
        ([], Mark.MISSED, "DB101 not found"),
    ],
)
def test_lint_of_a_fault(findings: list[Finding], mark: Mark, said: str) -> None:
    found = lint_of_fault("name", EXPECT, findings, known=["DB701"])
    assert (found.mark, found.said) == (mark, said)


@pytest.mark.parametrize(
    ("findings", "known", "mark", "said"),
    [
        ([], [], Mark.GOOD, ""),
        ([finding("DB303", "note")], [], Mark.GOOD, ""),
        ([finding("DB701", "warning")], ["DB701"], Mark.GOOD, ""),
        ([finding("DB701", "warning")], [], Mark.FALSE_ALARM, f"{RIGHT}: warning DB701: found"),
        (
            [finding("DB101")],
            ["DB701"],
            Mark.FALSE_ALARM,
            f"{RIGHT}: error DB101: found; DB701 is stated and not found",
        ),
        ([], ["DB701"], Mark.FALSE_ALARM, "DB701 is stated and not found"),
    ],
)
def test_lint_of_a_good_scenario(findings: list[Finding], known: list[str], mark: Mark, said: str) -> None:
    found = lint_of_good("name", findings, known)
    assert (found.mark, found.said) == (mark, said)


def verdict(fault: str = "", **checks: str) -> dict[str, Any]:
    return {
        "checks": [{"id": f"{name}[1]", "outcome": how} for name, how in checks.items()],
        "lab_fault": fault,
    }


@pytest.mark.parametrize(
    ("status", "found", "shown", "said"),
    [
        (1, verdict(a="failed", b="held"), Shown.AS_STATED, ""),
        (1, verdict(a="failed", b="failed"), Shown.AS_STATED, ""),
        (1, verdict(a="held", b="failed"), Shown.OTHERWISE, "a[1] is held"),
        (1, verdict(a="skipped", b="failed"), Shown.OTHERWISE, "a[1] is skipped"),
        (1, verdict(a="not proven here", b="failed"), Shown.OTHERWISE, "a[1] is not proven here"),
        (1, verdict(b="failed"), Shown.OTHERWISE, "a[1] is no check of the run"),
        (0, verdict(a="held"), Shown.PASSED, "every check held or is not proven"),
        (3, verdict("QEMU died", a="failed"), Shown.LAB_FAULT, "QEMU died"),
        (3, {}, Shown.LAB_FAULT, "see the log"),
        (2, {}, Shown.NO_VERDICT, "exit status 2"),
        (1, {}, Shown.NO_VERDICT, "exit status 1"),
        (0, {}, Shown.NO_VERDICT, "exit status 0"),
        (-9, verdict(a="failed"), Shown.NO_VERDICT, "exit status -9"),
    ],
)
def test_boot_of_a_fault(status: int, found: dict[str, Any], shown: Shown, said: str) -> None:
    one = boot_of_fault("name", ["a[1]"], status, found, 7.0)
    assert (one.shown, one.said, one.seconds) == (shown, said, 7.0)


def test_every_stated_check_has_to_fail() -> None:
    one = boot_of_fault("name", ["a[1]", "b[1]"], 1, verdict(a="failed", b="held"), 7.0)
    assert (one.shown, one.failed, one.said) == (Shown.OTHERWISE, ("a[1]",), "b[1] is held")
