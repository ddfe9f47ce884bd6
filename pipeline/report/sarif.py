"""Findings as SARIF 2.1.0, which code hosts show on the line.

Source: OASIS Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from pipeline.errors import Place
from pipeline.lint import RULES, Finding, Severity
from pipeline.lint.fix import fix
from pipeline.lint.pages import FOLDER, page, subject
from pipeline.lint.rule import Rule
from pipeline.report.plain import plain

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

# The text of a file, None where it is not known.
Texts = Callable[[str], str | None]

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def tool() -> dict[str, Any]:
    """What has looked: every rule with its page.

    A rule has no helpUri, as that has to be absolute, and no level of its own: each result has one.
    """
    return {"driver": {"name": "dryboot", "rules": [_rule(rule) for rule in RULES]}}


def results(findings: Iterable[Finding], texts: Texts, *, whole: str) -> list[dict[str, Any]]:
    """The findings of one input; those that stand in no file are shown on the first line of `whole`."""
    seen: Counter[str] = Counter()
    return [_result(one, texts, whole, seen) for one in findings]


def _rule(rule: Rule) -> dict[str, Any]:
    text = f"{rule.title} {' '.join(rule.explanation.split())}".strip()
    return {
        "id": rule.code,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": text},
        "help": {"text": f"{text} Holds for: {rule.holds}. Source: {rule.source}.", "markdown": page(rule)},
        "properties": {"tags": [subject(rule)], "page": f"{FOLDER}/{rule.code}.md"},
    }


_INDEX = {rule.code: number for number, rule in enumerate(RULES)}


def _result(one: Finding, texts: Texts, whole: str, seen: Counter[str]) -> dict[str, Any]:
    message = f"{one.found}\nwhy: {one.why}\nfix: {one.fix}\nsource: {one.source}"
    print_of_it = _fingerprint(one)
    seen[print_of_it] += 1
    document: dict[str, Any] = {
        "ruleId": one.code,
        "ruleIndex": _INDEX[one.code],
        "level": _LEVELS[one.severity],
        "message": {"text": plain(message)},
        "locations": [_location(one, whole)],
        "partialFingerprints": {"dryboot/v1": f"{print_of_it}:{seen[print_of_it]}"},
    }
    changes = _changes(one, texts)
    if changes:
        document["fixes"] = [{"description": {"text": plain(one.fix)}, "artifactChanges": changes}]
    return document


def _fingerprint(one: Finding) -> str:
    """The same wherever in its file the line stands."""
    parts = (one.code, uri(one.place.file), one.place.text, one.found)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _location(one: Finding, whole: str) -> dict[str, Any]:
    place = one.place
    if place.file.startswith("--"):
        return {
            "physicalLocation": {"artifactLocation": {"uri": uri(whole)}, "region": {"startLine": 1}},
            "logicalLocations": [{"fullyQualifiedName": plain(place.file), "kind": "parameter"}],
        }
    # Code hosts refuse results without file and line; a finding about a file as such is shown on its first.
    region: dict[str, Any] = {"startLine": place.line or 1}
    if place.column:
        region["startColumn"] = place.column
        length = next((len(edit.old) for edit in one.edits if edit.old and _same(edit.place, place)), 0)
        if length:
            region["endColumn"] = place.column + length
    return {"physicalLocation": {"artifactLocation": {"uri": uri(place.file or whole)}, "region": region}}


def _same(one: Place, other: Place) -> bool:
    return (one.file, one.line, one.column) == (other.file, other.line, other.column)


def uri(file: str) -> str:
    """A file's name as a URI: relative to where the tool was started, or absolute as the name is."""
    name = quote(posixpath.normpath(file.encode("utf-8", "surrogateescape")))
    return f"file:///{name.lstrip('/')}" if name.startswith("/") else name


def _changes(one: Finding, texts: Texts) -> list[dict[str, Any]]:
    """The edits of a finding as replacements, empty where they cannot be made."""
    known = {edit.place.file: texts(edit.place.file) for edit in one.edits}
    if not known or any(text is None for text in known.values()):
        return []
    old: Mapping[str, str] = {file: text for file, text in known.items() if text is not None}
    mended = fix(old, [one])
    return [
        {
            "artifactLocation": {"uri": uri(file)},
            "replacements": [_replacement(old[file], new)],
        }
        for file, new in mended.texts.items()
    ]


def _replacement(old: str, new: str) -> dict[str, Any]:
    """The shortest piece of `old` that has to be replaced to make `new`."""
    least = min(len(old), len(new))
    start = next((at for at in range(least) if old[at] != new[at]), least)
    end = next((at for at in range(least - start) if old[-1 - at] != new[-1 - at]), least - start)
    stop = len(old) - end
    first, column = _position(old, start)
    last, behind = _position(old, stop)
    return {
        "deletedRegion": {
            "startLine": first,
            "startColumn": column,
            "endLine": last,
            "endColumn": behind,
        },
        "insertedContent": {"text": new[start : len(new) - end]},
    }


def _position(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
