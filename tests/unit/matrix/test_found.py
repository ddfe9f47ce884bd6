"""What makes a matrix fail."""

from __future__ import annotations

import pytest

from pipeline.matrix import comparison
from pipeline.matrix.found import summary
from pipeline.matrix.result import CellResult
from tests.unit.matrix.cells import result
from tests.unit.matrix.matrices import FAILED, FAULT, HELD, OWN_FAILED, baselines, found


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([HELD], 0),
        ([HELD, FAILED], 0),
        ([HELD, OWN_FAILED], 1),
        ([HELD, FAULT], 3),
        ([OWN_FAILED, FAULT], 1),
        ([], 0),
    ],
)
def test_the_own_type_counts_and_others_are_information(results: list[CellResult], status: int) -> None:
    assert found(results).exit_code == status


def test_a_cell_that_held_in_its_baseline_counts() -> None:
    before = result(FAILED.cell)
    broken = found([FAILED], kept=baselines(before))
    assert broken.exit_code == 1
    assert broken.failures == ("pc-q35-8.0 on QEMU 11.1, fast: firmware: the shell came up",)
    assert found([FAILED], kept=baselines(FAILED)).exit_code == 0
    assert found([FAILED], kept=baselines(before), accepted=True).exit_code == 0
    assert found([OWN_FAILED], accepted=True).exit_code == 1


def test_a_change_that_breaks_nothing_does_not_count() -> None:
    changed = result(HELD.cell, changed={"pci/01:00.0/BAR 0": None})
    again = found([changed], kept=baselines(HELD))
    assert again.comparisons[0].state is comparison.State.NOTICEABLE
    assert again.exit_code == 0


def test_the_own_type_must_not_be_taken_away() -> None:
    gone = found([], own="pc-q35-5.1")
    assert gone.exit_code == 1
    assert gone.failures == ("QEMU 11.1 no longer has pc-q35-5.1, the scenario's own machine type",)
    # A release that is too old for it is not what one moves to.
    assert found([], own="pc-q35-11.1").exit_code == 0


def test_a_summary_counts() -> None:
    assert summary([HELD, FAULT, FAULT]) == "1 held, 0 failed, 2 lab faults"
