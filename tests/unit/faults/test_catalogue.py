"""The catalogue itself: `invoke faults --lint`."""

from __future__ import annotations

import time

from pipeline.faults import linting
from pipeline.faults.change import make
from pipeline.faults.judge import Mark
from pipeline.faults.loader import read_all
from pipeline.lint import Severity


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


# What the domain says is what a bundle passes through, so a mistake in it shows in other ways there.
BY_THE_DOMAIN = {
    "address-of-before",
    "audio-not-in-the-domain",
    "disk-of-the-host-in-the-domain",
    "function-mistaken",
}


def test_a_mistake_of_the_scenario_is_found_in_its_files_too() -> None:
    differing = set()
    for found in read_all():
        expect = found.fault.expect
        if found.fault.files:
            continue
        made = make(found)
        readings = linting.of_scenario(made.rendered), linting.of_bundle(made.rendered, made.bundle)
        codes = [
            {one.code for one in findings if one.severity is not Severity.NOTE or one.code == expect.finding}
            for findings in readings
        ]
        if codes[0] != codes[1]:
            differing.add(found.fault.name)
    assert differing == BY_THE_DOMAIN
