"""What lint found and what a boot showed, against what a fault states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.errors import ExitCode
from pipeline.faults.model import Expectation, Where
from pipeline.lint import Finding, Severity


class Mark(StrEnum):
    """How lint did on a fault, or on a good scenario (GOOD, FALSE_ALARM)."""

    CAUGHT = "caught"
    WRONG_REASON = "caught for the wrong reason"
    MISSED = "missed"
    GOOD = "nothing found"
    FALSE_ALARM = "false alarm"


class Shown(StrEnum):
    """What a boot showed of a fault."""

    AS_STATED = "failed as stated"
    OTHERWISE = "failed for another reason"
    PASSED = "passed"
    LAB_FAULT = "lab fault"
    NO_VERDICT = "no verdict"


@dataclass(frozen=True, kw_only=True, slots=True)
class Linted:
    """What lint made of one fault or good scenario: `codes` of its errors and warnings, `said` what differs."""

    name: str
    mark: Mark
    codes: tuple[str, ...]
    said: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Booted:
    """What a boot showed of one fault, in `seconds`; `failed` are the checks that did, `said` is what differs."""

    name: str
    shown: Shown
    failed: tuple[str, ...]
    seconds: float
    said: str = ""


def lint_of_fault(
    name: str, expect: Expectation, findings: Sequence[Finding], known: Sequence[str] = ()
) -> Linted:
    """How lint did. `known` are the codes that the base has without the fault."""
    codes = _codes(findings)
    named = [one for one in findings if one.code == expect.finding]
    right = [one for one in named if one.severity.value == expect.severity and _at(one, expect.place)]
    others = [code for code in codes if code not in {expect.finding, *expect.also, *known}]
    if right:
        mark = Mark.WRONG_REASON if others else Mark.CAUGHT
        said = f"also found: {', '.join(others)}" if others else ""
    elif named:
        mark = Mark.WRONG_REASON
        said = "; ".join(f"{one.severity} {one.code} at {one.place}: {one.place.text}" for one in named)
    else:
        mark = Mark.WRONG_REASON if others else Mark.MISSED
        said = f"{expect.finding} not found" + (f", but {', '.join(others)}" if others else "")
    return Linted(name=name, mark=mark, codes=codes, said=said)


def lint_of_good(name: str, findings: Sequence[Finding], known: Sequence[str] = ()) -> Linted:
    """Whether lint is silent on a good scenario but for what it states of itself."""
    codes = _codes(findings)
    alarms = [one for one in findings if one.code in codes and one.code not in known]
    gone = [code for code in known if code not in codes]
    said = [f"{one.place}: {one.severity} {one.code}: {one.found}" for one in alarms if _counts(one)]
    said += [f"{code} is stated and not found" for code in gone]
    return Linted(name=name, mark=Mark.FALSE_ALARM if said else Mark.GOOD, codes=codes, said="; ".join(said))


def _codes(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(sorted({one.code for one in findings if _counts(one)}))


def _counts(finding: Finding) -> bool:
    return finding.severity is not Severity.NOTE


def _at(finding: Finding, where: Where) -> bool:
    return finding.place.file.endswith(where.file) and where.text in finding.place.text


def boot_of_fault(
    name: str, wanted: Sequence[str], status: int, verdict: Mapping[str, Any], seconds: float
) -> Booted:
    """What the boot showed: `verdict` is that of verdict.json, empty where there is none.

    A check shows the fault only where it was made and failed: one that was skipped or is not proven does not.
    """
    checks = verdict.get("checks", [])
    failed = tuple(check["id"] for check in checks if check["outcome"] == "failed")
    ended = {check["id"]: check["outcome"] for check in checks}
    missing = [one for one in wanted if one not in failed]
    if status == ExitCode.LAB_FAULT:
        shown, said = Shown.LAB_FAULT, str(verdict.get("lab_fault") or "see the log")
    elif status not in {ExitCode.HELD, ExitCode.FAILED} or not checks:
        shown, said = Shown.NO_VERDICT, f"exit status {status}"
    elif status == ExitCode.HELD:
        shown, said = Shown.PASSED, "every check held or is not proven"
    elif missing:
        shown = Shown.OTHERWISE
        said = ", ".join(f"{one} is {ended.get(one, 'no check of the run')}" for one in missing)
    else:
        shown, said = Shown.AS_STATED, ""
    return Booted(name=name, shown=shown, failed=failed, seconds=seconds, said=said)
