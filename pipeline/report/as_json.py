"""The verdict as JSON: every check with what was expected, what was observed and the line that asked for it."""

from __future__ import annotations

import json
from typing import Any

from pipeline.errors import Place
from pipeline.lint import Finding
from pipeline.report.plain import plain
from pipeline.verdict import CheckResult, Verdict


def text(verdict: Verdict) -> str:
    """The document, in a stable order. Times in seconds, memory in MiB."""
    document = {
        "schema": 1,
        "scenario": verdict.scenario,
        "outcome": verdict.outcome.value,
        "exit_code": int(verdict.exit_code),
        "lab_fault": verdict.fault,
        "accelerator": verdict.accelerator,
        "checks": [_check(check) for check in verdict.checks],
        "findings": [finding(one) for one in verdict.findings],
        "stand_ins": [
            {"part": one.part, "asked": one.asked, "ran": one.ran, "matters": one.matters}
            for one in verdict.stand_ins
        ],
        "fidelity": [
            {
                "part": one.part,
                "asked": one.asked,
                "ran": one.ran,
                "differs": one.differs,
                "effect": one.effect,
            }
            for one in verdict.fidelity
        ],
        "replacements": list(verdict.replacements),
        "edited": list(verdict.edited),
        "versions": dict(verdict.versions),
        "seconds": dict(verdict.times),
        "peak_memory_mib": verdict.peak_memory >> 20,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _check(check: CheckResult) -> dict[str, Any]:
    expectation = check.expectation
    expected, observed = expectation.expected, check.observed
    return {
        "id": expectation.id,
        "stage": expectation.stage.value,
        "outcome": check.outcome.value,
        "expected": list(expected) if isinstance(expected, tuple) else expected,
        "observed": list(observed) if isinstance(observed, tuple) else observed,
        "place": _place(expectation.place),
        "why": expectation.why,
        "fix": expectation.fix,
        "seconds": round(check.seconds, 3),
    }


def finding(one: Finding) -> dict[str, Any]:
    """A lint finding as JSON values."""
    return {
        "code": one.code,
        "severity": one.severity.value,
        "place": _place(one.place),
        "found": one.found,
        "why": one.why,
        "fix": one.fix,
        "source": one.source,
        "edits": [
            {
                "kind": edit.kind.value,
                "place": _place(edit.place),
                "old": edit.old,
                "new": edit.new,
            }
            for edit in one.edits
        ],
    }


def _place(place: Place) -> dict[str, Any]:
    return {"file": plain(place.file), "line": place.line, "column": place.column, "text": place.text}
