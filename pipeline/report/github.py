"""Findings as workflow commands: GitHub Actions shows them beside the line.

Source: actions/toolkit packages/core/src/command.ts, escapeData() and escapeProperty().
"""

from __future__ import annotations

from pipeline.lint import Finding, Severity
from pipeline.report.plain import plain

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def annotation(one: Finding) -> str:
    """One line, without its end."""
    place = one.place
    properties = {
        "file": place.file if place.line else "",
        "line": str(place.line or ""),
        "col": str(place.column or ""),
        "title": one.code,
    }
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    found = one.found if place.line else f"{place}: {one.found}"
    message = "\n".join((found, f"why: {one.why}", f"fix: {one.fix}", f"source: {one.source}"))
    return f"::{_COMMANDS[one.severity]} {listed}::{_data(message)}"


def _data(text: str) -> str:
    return plain(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
