"""What `invoke faults` prints, and with which status it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline import commands
from pipeline.errors import BadInput, ExitCode
from pipeline.faults import booting, command, linting
from pipeline.faults.judge import Booted, Linted, Mark, Shown


def run(target: Path | None = None, **options: Any) -> tuple[ExitCode, str]:
    console = Console(width=200)
    arguments = {"lint": True, "boot": False, "only": (), "workers": 0, "output": Path("out"), "options": ()}
    with console.capture() as capture:
        status = command.run(console, target=target, **{**arguments, **options})
    return status, capture.get()


def test_a_fault_that_is_caught(tmp_path: Path) -> None:
    status, said = run(tmp_path / "report", only=["subsystem-id"])
    assert status is ExitCode.HELD
    assert said.startswith("lint: 1 of 1 faults caught, 0 missed")
    assert (tmp_path / "report/faults.json").exists()


def test_what_is_not_as_stated_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missed(_: Any) -> Iterator[Linted]:
        yield Linted(name="one", mark=Mark.MISSED, codes=(), said="DB101 [not] found")

    def alarm() -> Iterator[Linted]:
        yield Linted(name="two", mark=Mark.FALSE_ALARM, codes=("DB101",), said="x.yaml")

    def boots(*_: Any, **__: Any) -> Iterator[Booted]:
        yield Booted(name="three", shown=Shown.PASSED, failed=(), seconds=7, said="every check held")
        yield Booted(name="four", shown=Shown.AS_STATED, failed=("a[1]",), seconds=7)

    monkeypatch.setattr(linting, "faults", missed)
    monkeypatch.setattr(linting, "good_scenarios", alarm)
    monkeypatch.setattr(booting, "faults", boots)
    status, said = run(boot=True)
    assert status is ExitCode.FAILED
    for line in (
        "one: missed: DB101 [not] found",
        "two: false alarm: x.yaml",
        "three: passed: every check held in 7 s",
        "four: failed as stated: a[1] in 7 s",
        "lint: 0 of 1 faults caught, 1 missed, 0 for the wrong reason; 1 false alarms on 1 good readings",
        "boot: 1 of 2 failed as stated, 1 passed",
    ):
        assert line in said


def test_options_that_cannot_be_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot boot -1 faults at once"):
        commands.faults(True, False, (), -1, "", "", "")
    with pytest.raises(BadInput, match="no accelerator 'x'"):
        commands.faults(True, False, (), 0, "", "", "x")
    with pytest.raises(BadInput, match="no fault 'x'"):
        commands.faults(True, False, ("x",), 0, "", "", "")
    (tmp_path / "mine").write_text("")
    with pytest.raises(BadInput, match="holds 'mine'"):
        commands.faults(True, False, ("subsystem-id",), 0, "", str(tmp_path), "")


def test_both_parts_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def played(console: Console, **options: Any) -> ExitCode:
        asked.update(options)
        return ExitCode.HELD

    monkeypatch.setattr(command, "run", played)
    assert commands.faults(False, False, (), 0, "", "", "tcg") is ExitCode.HELD
    assert (asked["lint"], asked["boot"], asked["options"]) == (True, True, ("--accel", "tcg"))
    assert asked["output"].name == "faults"
    commands.faults(False, True, (), 0, "", "", "")
    assert (asked["lint"], asked["boot"]) == (False, True)
