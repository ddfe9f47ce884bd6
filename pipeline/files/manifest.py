"""What a bundle was made for, from its manifest.json: it stands in for what only the machine itself would tell."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from pipeline.files.reader import Reader
from pipeline.plan.model import Written

FILE = "manifest.json"
_SERIES = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}(?:\.[0-9]{1,4})?")
_VENDOR = re.compile("amd|intel")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumed:
    """The manifest's `assumed`, None for what it leaves out, and the scenario's name. Memory in bytes."""

    name: str | None = None
    distribution: str | None = None
    year: int | None = None
    kernel: Written[str] | None = None
    qemu: Written[str] | None = None
    cpu_vendor: str | None = None
    threads: int | None = None
    memory: int | None = None


def read(reader: Reader) -> Assumed | None:
    """The manifest at the root; None where there is none, or one that is not Dryboot's."""
    text = reader.text(FILE)
    if text is None:
        return None
    try:
        content = json.loads(text.content)
    except (ValueError, RecursionError) as error:
        reader.note(text.whole, f"it is no JSON: {str(error)[:80]}")
        return None
    assumed = content.get("assumed") if isinstance(content, dict) else None
    if not isinstance(assumed, dict):
        reader.note(text.whole, "it has no `assumed`, so it is no manifest of a bundle")
        return None
    scenario = content.get("scenario")

    def written(key: str) -> Written[str] | None:
        value = _matching(assumed.get(key), _SERIES)
        number = next((count for count, line in enumerate(text.lines, 1) if f'"{key}"' in line), 1)
        return Written(value=value, place=text.place(number)) if value else None

    return Assumed(
        name=_matching(scenario.get("name"), _NAME) if isinstance(scenario, dict) else None,
        distribution=_matching(assumed.get("distribution"), _NAME),
        year=_between(assumed.get("year"), 1990, 3000),
        kernel=written("kernel"),
        qemu=written("qemu"),
        cpu_vendor=_matching(assumed.get("cpu_vendor"), _VENDOR),
        threads=_between(assumed.get("threads"), 1, 1 << 16),
        memory=_between(assumed.get("memory"), 1, 1 << 60),
    )


def _between(value: object, least: int, most: int) -> int | None:
    return value if type(value) is int and least <= value <= most else None


def _matching(value: object, pattern: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
