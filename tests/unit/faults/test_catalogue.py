"""The catalogue itself: `invoke faults --lint`."""

from __future__ import annotations

import time

from pipeline.faults import linting
from pipeline.faults.judge import Mark
from pipeline.faults.loader import read_all


def test_every_fault_is_caught_and_no_good_scenario_blamed() -> None:
    started = time.process_time()
    catalogue = read_all()
    marks = {one.name: one for one in linting.faults(catalogue)}
    good = {f"{one.name} {index}": one for index, one in enumerate(linting.good_scenarios())}
    seconds = time.process_time() - started
    assert len(marks) >= 60
    assert {name: one for name, one in marks.items() if one.mark is not Mark.CAUGHT} == {}
    assert {name: one for name, one in good.items() if one.mark is not Mark.GOOD} == {}
    assert seconds < 10


def test_a_good_share_can_be_booted() -> None:
    bootable = [one for one in read_all() if one.fault.expect.boot.checks]
    assert len(bootable) >= 25


def test_no_two_faults_are_the_same() -> None:
    faults = [one.fault for one in read_all()]
    assert len({(one.base, str(one.set_), str(one.files)) for one in faults}) == len(faults)
    assert len({one.title for one in faults}) == len(faults)
