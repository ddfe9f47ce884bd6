"""The fast lane: what the lab's boot at L0 says, as a result; the boot is played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import BadInput, LabFault
from pipeline.fingerprint.sighting import Sighting
from pipeline.lab import direct, releases
from pipeline.lab.abilities import MachineType
from pipeline.lab.direct import DirectRun
from pipeline.lab.direct_checks import DirectCheck
from pipeline.matrix import nested
from pipeline.matrix.cell import Lane
from pipeline.matrix.job import Job
from pipeline.matrix.lanes import LANES, Fast, Nested
from pipeline.matrix.result import CellCheck, Ended
from pipeline.scenario.loader import SHIPPED
from tests.unit.matrix.conftest import job

HELD = DirectCheck(name="booted", held=True, observed="the payload ran to its end")
FAILED = DirectCheck(name="firmware", held=False, observed="nothing")
MACHINES = (MachineType(name="pc-q35-9.2", deprecated=False, alias="q35", compat={"mch.x": "1"}),)


NONE: Any = None


class Stored(releases.Release):
    """A release of the store, of which only the machine types are played."""

    def machines(self) -> tuple[MachineType, ...]:
        return MACHINES


class Boot:
    """direct.boot, played."""

    def __init__(self, *checks: DirectCheck, sighting: Sighting | None = None) -> None:
        self._run = DirectRun(
            checks=checks, sighting=sighting, times={"shell": 1.234}, stand_ins=("a",), console="tail"
        )
        self.asked: dict[str, Any] = {}

    def __call__(self, plan: Any, xml: bytes, release: Any, machine: str, **more: Any) -> DirectRun:
        self.asked = {"plan": plan, "xml": xml, "release": release.name, "machine": machine, **more}
        return self._run


@pytest.fixture(autouse=True)
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(names: list[str], progress: Any) -> tuple[Any, ...]:
        return tuple(
            Stored(name=name, digest=f"digest of {name}", qemu=NONE, firmware=NONE, folder=Path())
            for name in names
        )

    monkeypatch.setattr(releases, "find", find)


def of(version: str = "9.2", **more: Any) -> Job:
    return job(version, scenario=(SHIPPED / "rx560.yaml").read_text(), **more)


@pytest.mark.parametrize(
    ("checks", "ended"), [((HELD,), Ended.HELD), ((HELD, FAILED), Ended.FAILED), ((FAILED,), Ended.FAILED)]
)
def test_a_boot_becomes_a_result(
    monkeypatch: pytest.MonkeyPatch, checks: tuple[DirectCheck, ...], ended: Ended
) -> None:
    boot = Boot(*checks)
    monkeypatch.setattr(direct, "boot", boot)
    one = of(settings=("guest.memory=4 GiB",), deadline=100)
    result = Fast().run(one)
    assert (result.cell, result.ended, result.fingerprint) == (one.cell, ended, None)
    assert result.checks == tuple(
        CellCheck(name=each.name, held=each.held, observed=each.observed) for each in checks
    )
    assert (result.times, result.stand_ins, result.console) == ({"shell": 1.23}, ("a",), "tail")
    assert result.compat == {"mch.x": "1"}
    assert (boot.asked["release"], boot.asked["machine"], boot.asked["accelerator"]) == (
        "10.0",
        "pc-q35-9.2",
        "tcg",
    )
    assert boot.asked["plan"].guest.memory == 4 << 30
    assert b"pc-q35-9.2" in boot.asked["xml"]
    # Before the pool ends its process.
    assert boot.asked["deadline"] < 100


def test_an_accelerator_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = Boot(HELD)
    monkeypatch.setattr(direct, "boot", boot)
    Fast().run(of(accelerator="kvm"))
    assert boot.asked["accelerator"] == "kvm"


def test_what_was_seen_becomes_a_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = Boot(HELD, sighting=Sighting(qmp={}, hmp={}, serial=""))
    monkeypatch.setattr(direct, "boot", boot)
    assert Fast().run(of()).fingerprint is not None


def test_compat_of_a_type_that_tells_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "boot", Boot(HELD))
    assert Fast().run(of("9.1")).compat is None


def test_it_needs_the_release() -> None:
    assert list(Fast().needs("11.1").values()) == ["digest of 11.1"]


def test_faults_are_raised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def dies(*_: Any, **__: Any) -> DirectRun:
        raise LabFault("QEMU has ended")

    monkeypatch.setattr(direct, "boot", dies)
    with pytest.raises(LabFault, match="QEMU has ended"):
        Fast().run(of())
    with pytest.raises(BadInput):
        Fast().run(job(scenario="schema: 2\n"))


def test_the_nested_lane_has_the_machine_type_of_the_cell_in_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}

    def run(cell: Any, plan: Any, bundle: Any, release: Any, **more: Any) -> str:
        asked.update(cell=cell, plan=plan, bundle=bundle, release=release.name, **more)
        assert more["logs"].is_dir()
        return "a result"

    monkeypatch.setattr(nested, "run", run)
    wanted = of("10.0", lane=Lane.NESTED)
    assert Nested().run(wanted) == "a result"  # type: ignore[comparison-overlap]
    assert asked["plan"].guest.machine.value == "pc-q35-10.0"
    assert b"pc-q35-10.0" in asked["bundle"].files["libvirt/win10.xml"]
    assert (asked["cell"], asked["release"], asked["accelerator"]) == (wanted.cell, "10.0", None)
    assert not asked["logs"].exists()


def test_the_nested_lane_needs_what_the_host_is_made_of_too() -> None:
    fast, slow = (LANES[lane].needs("11.1") for lane in (Lane.FAST, Lane.NESTED))
    assert slow.items() > fast.items()
    assert set(slow) - set(fast) == {"image of the host"}
