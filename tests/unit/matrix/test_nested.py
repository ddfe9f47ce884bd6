"""A cell of the nested lane, with verify and the releases played."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.sighting import Sighting
from pipeline.lab.emulator import Emulator
from pipeline.matrix import nested
from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.result import CellResult, Ended
from pipeline.plan import resolve
from pipeline.plan.model import Stage
from pipeline.render import Inputs, render
from pipeline.scenario import read
from pipeline.verdict import CheckResult, Outcome, StandIn, Verdict

PLAN = resolve(read("rx560"))
BUNDLE = render(PLAN, inputs=Inputs(scenario=b""))
CELL = Cell(qemu="11.1", machine="pc-q35-9.2", lane=Lane.NESTED)
EMULATOR = Emulator(version="11.1", disk=Path("/d"), code="/c", variables="/v", script="")
STAND_IN = StandIn(part="kernel", asked="6.12-manjaro", ran="6.12-debian", matters="no")


def verdict(outcome: Outcome, *, fault: str = "") -> Verdict:
    guest = [one for one in PLAN.expectations if one.stage is Stage.GUEST]
    outcomes = [outcome, Outcome.SKIPPED, Outcome.NOT_PROVEN, *[Outcome.HELD] * len(guest)]
    return Verdict(
        scenario="rx560",
        outcome=outcome,
        findings=(),
        checks=tuple(
            CheckResult(expectation=one, outcome=how, observed="seen")
            for one, how in zip(guest, outcomes, strict=False)
        ),
        stand_ins=(STAND_IN,),
        replacements=("<emulator> replaced: QEMU 11.1 is under test",),
        accelerator="tcg",
        versions={},
        times={"total": 12.5},
        peak_memory=0,
        fault=fault,
    )


class Played:
    """The lab: what verify is asked for, and what it says."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.answer = verdict(Outcome.HELD)
        self.asked: dict[str, Any] = {}
        self.looks = True
        patch.setattr(nested, "emulator", lambda *_: EMULATOR)
        patch.setattr(nested, "verify", self.verify)
        monitor = SimpleNamespace(__enter__=None)
        patch.setattr(nested, "virsh", lambda *_: _Context(monitor))
        patch.setattr(nested.sighting, "collect", lambda *_: Sighting(qmp={}, hmp={}, serial=""))
        patch.setattr(nested.reading, "read", lambda _: Fingerprint(facts={"a": "b"}))

    def verify(self, *_: object, under_test: Any, listener: Any, logs: Path, **asked: Any) -> Verdict:
        self.asked = {**asked, "emulator": under_test.emulator, "script": under_test.script}
        listener.step("booting")
        if self.looks:
            under_test.look(SimpleNamespace(), "win10", "serial")
        else:
            logs.mkdir(exist_ok=True)
            (logs / "l2-serial.log").write_text("\n")
            (logs / "l1-serial.log").write_text("the end of L1's console\n")
        return self.answer


class _Context:
    def __init__(self, value: object) -> None:
        self.value = value

    def __enter__(self) -> object:
        return self.value

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(monkeypatch)


def run(tmp_path: Path, compat: Mapping[str, str] | None = None) -> tuple[CellResult, list[str]]:
    said: list[str] = []
    release: Any = SimpleNamespace(compat={"pc-q35-9.2": compat}.get)
    found = nested.run(CELL, PLAN, BUNDLE, release, accelerator="tcg", logs=tmp_path, say=said.append)
    return found, said


def test_a_cell_that_held_has_its_fingerprint_and_says_what_stood_in(played: Played, tmp_path: Path) -> None:
    found, said = run(tmp_path, compat={"virtio-net-pci.x": "off"})
    assert (found.cell, found.ended, found.fault, found.console) == (CELL, Ended.HELD, "", "")
    assert found.fingerprint == Fingerprint(facts={"a": "b"})
    assert found.compat == {"virtio-net-pci.x": "off"}
    assert found.stand_ins == (
        "kernel: 6.12-debian for 6.12-manjaro",
        "<emulator> replaced: QEMU 11.1 is under test",
    )
    assert found.times == {"total": 12.5}
    assert played.asked["emulator"] is EMULATOR
    assert played.asked["script"] is nested.sighting.script
    assert said == ["booting"]


def test_what_was_not_made_or_not_proven_is_no_check_of_the_cell(played: Played, tmp_path: Path) -> None:
    found, _ = run(tmp_path)
    guest = [one.id for one in PLAN.expectations if one.stage is Stage.GUEST]
    assert [one.name for one in found.checks] == [guest[0], *guest[3:]]
    assert all(one.held for one in found.checks)
    assert found.compat is None


@pytest.mark.parametrize(
    ("outcome", "fault", "ended"),
    [(Outcome.FAILED, "", Ended.FAILED), (Outcome.LAB_FAULT, "QEMU of L1 was killed", Ended.LAB_FAULT)],
)
def test_what_did_not_hold_has_the_end_of_a_console(
    played: Played, tmp_path: Path, outcome: Outcome, fault: str, ended: Ended
) -> None:
    played.answer, played.looks = verdict(outcome, fault=fault), False
    found, _ = run(tmp_path / "logs")
    assert (found.ended, found.fault, found.fingerprint) == (ended, fault, None)
    assert found.console == "the end of L1's console"
    assert [one.held for one in found.checks][:1] == ([False] if outcome is Outcome.FAILED else [True])
