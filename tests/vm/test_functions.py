"""The function tests in virtual machines: a device that works passes, and each that is broken is seen to be.

Most of it without a host between, where a boot takes seconds: what the guest's Linux tells is the same.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.lab import board
from pipeline.lab.device.function import (
    BAR_STUCK,
    DMA_WRONG_ADDRESS,
    IGNORES_BLOCKED_DMA,
    LOST_AFTER_RESET,
    NO_INTX,
    NO_MSI,
    FunctionSpec,
)
from pipeline.lab.functions import dump, report
from pipeline.lab.functions.judge import Seen, judge
from pipeline.lab.run_directory import run_directory
from pipeline.plan import resolve
from pipeline.plan.function_expectations import with_functions
from pipeline.plan.model import Check
from pipeline.plan.topology import PlannedFunction
from pipeline.render import Inputs, render
from pipeline.scenario import read
from pipeline.verdict import Listener, Outcome
from pipeline.verify import verify
from tests import alone

pytestmark = pytest.mark.vm

BROKEN = ("", NO_INTX, NO_MSI, DMA_WRONG_ADDRESS, IGNORES_BLOCKED_DMA, BAR_STUCK)
# What cannot be seen without a host: its kernel's log.
OF_THE_HOST = {Check.FUNCTION_FAULT}
Judged = dict[Check, tuple[Outcome, str]]


def judged(texts: tuple[str, str], number: int, broken: str) -> Judged:
    dumps = dump.read(texts[0]) | dump.read(texts[1])
    seen = Seen(report=report.read(texts[0]), dumps=dumps, host_log="")
    found = judge(number, alone.as_tested(alone.card(number, broken)), "01:00.0", seen)
    return {check: (outcome, what) for check, outcome, what in found if check not in OF_THE_HOST}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    """One guest with all of them."""
    with run_directory(tmp_path_factory.mktemp("together")) as run:
        texts = alone.boot([alone.card(number, broken) for number, broken in enumerate(BROKEN)], run)
    assert report.read(texts[0]).complete, texts[0][-3000:]
    return {broken: judged(texts, number, broken) for number, broken in enumerate(BROKEN)}


def failed(found: Judged) -> dict[Check, str]:
    return {check: what for check, (outcome, what) in found.items() if outcome is not Outcome.HELD}


def test_a_device_that_works_passes(together: dict[str, Judged]) -> None:
    assert failed(together[""]) == {}


@pytest.mark.parametrize(
    ("broken", "observed"),
    [
        (NO_INTX, {Check.FUNCTION_INTX: "0 of 1 INTx arrived, then none in time"}),
        (NO_MSI, {Check.FUNCTION_MSI: "0 of 1 MSI arrived, then none in time"}),
        (DMA_WRONG_ADDRESS, {Check.FUNCTION_DMA: "DMA read differs at byte 0"}),
        (IGNORES_BLOCKED_DMA, {Check.FUNCTION_BLOCKED: "DMA read at 0x4000000000 was done"}),
    ],
)
def test_a_broken_device_fails_for_its_reason(
    together: dict[str, Judged], broken: str, observed: dict[Check, str]
) -> None:
    assert failed(together[broken]) == observed


def test_a_bar_that_is_stuck_fails(together: dict[str, Judged]) -> None:
    found = failed(together[BAR_STUCK])
    assert found[Check.FUNCTION_BAR].startswith("18 of 18 words differ, the first in BAR 0 at 0x0: ")
    # Its scratch register does not keep anything either.
    assert set(found) == {Check.FUNCTION_BAR, Check.FUNCTION_RESET}


def test_a_device_that_does_not_come_back_is_seen_at_its_reset_and_keeps_the_guest_from_starting(
    tmp_path: Path,
) -> None:
    with run_directory(tmp_path) as run:
        texts = alone.boot([alone.card(0, LOST_AFTER_RESET)], run)
    # QEMU walks a list of capabilities that reads ff everywhere without an end (hw/vfio/pci.c vfio_add_std_cap()).
    assert texts[1] == ""
    found = failed(judged(texts, 0, LOST_AFTER_RESET))
    assert set(found) == {Check.FUNCTION_RESET, Check.FUNCTION_RESTART, Check.FUNCTION_REBOOT}
    assert found[Check.FUNCTION_RESET] == "did not come back after its reset: its ids read 0xffffffff"


def test_through_a_host_the_function_that_works_holds_and_the_broken_one_beside_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way: the host's vfio-pci and IOMMU between the guest and the functions (minutes without KVM)."""
    specify = board._spec
    broken = frozenset({DMA_WRONG_ADDRESS, IGNORES_BLOCKED_DMA})

    def partly(function: PlannedFunction, several: bool) -> FunctionSpec:
        spec = specify(function, several)
        return replace(spec, broken=broken) if function.address.function else spec

    monkeypatch.setattr(board, "_spec", partly)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin:/sbin")
    plan = resolve(read("rx560"))
    found = verify(
        plan,
        render(plan, inputs=Inputs(scenario=b"")),
        findings=(),
        accelerator=None,
        logs=tmp_path / "logs",
        listener=Listener(),
        fast=True,
        functions=True,
    )
    assert not found.fault, found.fault
    wanted = {one.id for one in with_functions(plan).expectations}
    held = {one.expectation.id for one in found.checks if one.outcome is Outcome.HELD}
    assert {one.expectation.id: one.observed for one in found.checks if one.outcome is Outcome.FAILED} == {
        "function-dma[01:00.1]": "DMA read differs at byte 0",
        "function-blocked-dma[01:00.1]": "DMA read at 0x4000000000 was done",
    }
    # A function that hides a refusal is refused all the same, and the host's log has it.
    assert len(wanted - held) == 2
