"""Jobs for the played lanes, and what they leave behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.job import Job, dryboot

LANES = "tests.matrix_lanes:LANES"


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the played lanes note what they run; the cache is the test's own."""
    path = tmp_path / "notes"
    path.touch()
    monkeypatch.setenv("DRYBOOT_TEST_NOTES", str(path))
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))
    return path


@pytest.fixture
def nothing_left(notes: Path) -> Iterator[None]:
    """No process of the test's cells may be there at its end: they all have the path of the notes."""
    yield
    assert living(notes) == []


def living(notes: Path) -> list[str]:
    """What runs with the notes in its environment, other than this process and its parents."""
    mine = {psutil.Process().pid, *(one.pid for one in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            has = process.environ().get("DRYBOOT_TEST_NOTES") == str(notes)
            if has and process.pid not in mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def plays(monkeypatch: pytest.MonkeyPatch, table: dict[str, str]) -> None:
    """What the cells of these names or machine types do in tests.matrix_lanes:BY_TYPE."""
    monkeypatch.setenv("DRYBOOT_TEST_PLAYS", json.dumps(table))


def job(
    version: str = "9.2", what: str = "", *, lane: Lane = Lane.FAST, deadline: float = 60, **more: object
) -> Job:
    values = {
        "cell": Cell(qemu="10.0", machine=f"pc-q35-{version}", lane=lane),
        "scenario": "schema: 1\n",
        "file": "scenarios/rx560.yaml",
        "deadline": deadline,
        "dryboot": dryboot(),
        "settings": (what,) if what else (),
        "needs": {"QEMU 10.0": "abc"},
    }
    return Job(**{**values, **more})  # type: ignore[arg-type]
