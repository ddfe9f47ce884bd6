from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.errors import Place
from pipeline.lint import Finding, Severity
from pipeline.lint.edit import Edit, Kind
from pipeline.plan.model import Check, Expectation, Stage
from pipeline.verdict import CheckResult, Fidelity, Outcome, StandIn, Verdict

PLACE = Place(file="rx560.yaml", line=67, column=15, text='passthrough: ["01:00.0", "01:00.1"]')
BINDING = Expectation(
    check=Check.BINDING,
    stage=Stage.HOST,
    subject="01:00.0",
    expected="vfio-pci",
    place=PLACE,
    why="the wrong driver, or none, holds it",
    fix="load vfio_pci first",
)
GROUP = replace(
    BINDING, check=Check.GROUP, expected=("01:00.0", "01:00.1"), why="whole or not at all", fix="ACS"
)
MACHINE = replace(
    BINDING,
    check=Check.MACHINE,
    stage=Stage.GUEST,
    subject="win10",
    expected="pc-q35-9.2",
    place=Place(file="rx560.yaml", line=71, column=12, text="machine: pc-q35-9.2"),
)
FAILED = Verdict(
    scenario="rx560",
    outcome=Outcome.FAILED,
    findings=(
        Finding(
            code="DB301",
            severity=Severity.WARNING,
            place=PLACE,
            found="found [it]",
            why="why",
            fix="fix",
            source="mkinitcpio(8)",
            edits=(Edit(kind=Kind.ADD_AFTER, place=PLACE, old="base", new="modconf"),),
        ),
    ),
    checks=(
        CheckResult(expectation=BINDING, outcome=Outcome.FAILED, observed="amdgpu", seconds=0.25),
        CheckResult(
            expectation=GROUP, outcome=Outcome.HELD, observed=("01:00.0", "01:00.1"), seconds=0.12345
        ),
        CheckResult(
            expectation=MACHINE, outcome=Outcome.SKIPPED, observed="not tried: the host stage failed"
        ),
    ),
    stand_ins=(StandIn(part="kernel", asked="6.12", ran="6.12.117", matters="built-in drivers"),),
    replacements=("<memory> 8388608 KiB replaced by 262144 KiB: the lab's memory is small",),
    accelerator="tcg: as asked for",
    versions={"QEMU of the lab": "11.1"},
    times={"boot": 42.5, "total": 189.29},
    peak_memory=1503 << 20,
    fidelity=(
        Fidelity(part="udev", asked="of Manjaro", ran="257", differs=True, effect="only [rules]"),
        Fidelity(part="init", asked="udev", ran="udev", differs=False, effect="none"),
    ),
)


@pytest.fixture
def failed() -> Verdict:
    return FAILED


@pytest.fixture
def held() -> Verdict:
    checks = tuple(replace(check, outcome=Outcome.HELD) for check in FAILED.checks)
    return replace(FAILED, outcome=Outcome.HELD, checks=checks, findings=())


@pytest.fixture
def lab_fault() -> Verdict:
    checks = tuple(
        replace(check, outcome=Outcome.SKIPPED, observed="the lab failed before") for check in FAILED.checks
    )
    return replace(
        FAILED,
        outcome=Outcome.LAB_FAULT,
        checks=checks,
        fault="QEMU of L1 was killed by signal 9\nlast words [bold]\n  hint: none",
    )


@pytest.fixture
def said(failed):
    """A verdict whose first check observed a text."""

    def make(observed: str) -> Verdict:
        return replace(failed, checks=(replace(failed.checks[0], observed=observed), *failed.checks[1:]))

    return make
