"""The newest safe machine type, and what becomes of the scenario's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.matrix.answer import Answer, State, answer, deprecation, month
from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.result import CellCheck, CellResult, Ended
from tests.unit.matrix.cells import cell, releases, result, told

NESTED = Lane.NESTED


def everything(*names: str) -> list[Cell]:
    """A fast cell for every pair that exists."""
    return [cell(name, one.name) for name, release in releases(*names).items() for one in release.types]


def asked(results: Sequence[CellResult], *names: str, own: str = "pc-q35-9.2") -> Answer:
    return answer(own, results, releases(*names))


def said(found: Answer) -> str:
    return "\n".join(one.text for one in found.statements)


def test_all_held() -> None:
    found = asked([result(one) for one in everything("10.0", "11.1")], "10.0", "11.1")
    assert (found.safe, found.everywhere) == ("pc-q35-11.1", "pc-q35-10.0")
    assert found.proof == (
        "only screened in the fast lane, where vfio-pci has no part, on QEMU 11.1: --lane nested proves it"
    )
    assert "pc-q35-9.2, which the scenario has, is safe; the newest that is safe is pc-q35-11.1" in said(
        found
    )
    assert all(one.state is State.SAFE for one in found.verdicts)
    assert all(one.source for one in found.statements)


def test_one_release_on_which_it_fails_is_enough() -> None:
    results = [
        result(one, failed=("function[01:00.0]",) if one == cell("10.0", "pc-q35-10.0") else ())
        for one in everything("10.0", "11.1")
        if one.machine != "pc-q35-11.1"
    ]
    found = asked(results, "10.0", "11.1")
    verdict = found.verdict("pc-q35-10.0")
    assert verdict is not None
    assert verdict.state is State.FAILS
    assert verdict.why == "on QEMU 10.0, fast lane, failed: function[01:00.0]"
    assert found.safe == "pc-q35-11.0"


def test_what_was_not_run_or_not_checked_is_not_safe() -> None:
    alone = asked([result(cell("10.0", "pc-q35-9.2"))], "10.0", "11.1")
    assert alone.safe is None
    assert "QEMU 11.1 has it, and it was not run there" in said(alone)
    faulty = asked([result(cell("11.1", "pc-q35-9.2"), ended=Ended.LAB_FAULT)], "11.1")
    assert faulty.safe is None
    assert "the lab failed" in said(faulty)
    unchecked = CellResult(cell=cell(), ended=Ended.HELD)
    assert asked([unchecked], "11.1").safe is None
    lying = result(cell(), failed=("x",), ended=Ended.HELD)
    assert asked([lying], "11.1").verdicts[0].state is State.FAILS


def test_a_failure_in_the_nested_lane_counts_though_the_fast_one_held() -> None:
    results = [result(cell()), result(cell(lane=NESTED), failed=("firmware",))]
    found = asked(results, "11.1")
    assert found.safe is None
    assert found.verdicts[0].why == "on QEMU 11.1, nested lane, failed: firmware"


def test_the_lane_of_the_proof_is_named() -> None:
    results = [result(cell("10.0")), result(cell("11.1")), result(cell("11.1", lane=NESTED))]
    found = asked(results, "10.0", "11.1")
    assert found.safe == "pc-q35-9.2"
    assert found.proof == (
        "proved in the nested lane, with vfio-pci, on QEMU 11.1; only screened in the fast lane, where vfio-pci has no "
        "part, on QEMU 10.0: --lane nested proves it"
    )


def test_what_the_lab_left_out_is_no_proof() -> None:
    held = result(cell("10.0"))
    check = CellCheck(
        name="function[01:00.0]", held=True, observed="left out: this QEMU has no vfio-user-pci"
    )
    found = asked([replace(held, checks=(*held.checks, check)), result(cell("11.1"))], "10.0", "11.1")
    assert found.verdicts[0].partial == ("10.0",)
    assert found.proof.endswith(
        "; on QEMU 10.0 without the assigned functions, which the lab had to leave out"
    )
    proven = result(cell("10.0", lane=NESTED))
    both = asked([replace(held, checks=(*held.checks, check)), proven, result(cell("11.1"))], "10.0", "11.1")
    assert "without the assigned functions" not in both.proof


def test_a_type_that_is_gone() -> None:
    results = [result(cell("10.0", "pc-q35-3.1"))]
    found = asked(results, "10.0", "11.1", own="pc-q35-3.1")
    assert "QEMU 11.1 no longer has pc-q35-3.1" in said(found)
    assert "pc-q35-3.1: gone in QEMU 11.1; it was chosen in 2019" in said(found)
    assert "pc-q35-4.0: gone in QEMU 11.1; its interrupt controller is split by default" in said(found)
    assert "does not have pc-q35-11.1" in said(asked(results, "10.0", own="pc-q35-11.1"))


def test_an_alias_changes_under_its_owner() -> None:
    results = [result(one) for one in everything("10.0", "11.1")]
    found = asked(results, "10.0", "11.1", own="q35")
    assert (
        "q35 without a version is pc-q35-10.0 on QEMU 10.0, pc-q35-11.1 on QEMU 11.1: the guest's machine changes with "
        "an update of QEMU; name the version, such as pc-q35-11.1"
    ) in said(found)
    assert "q35, which the scenario has, was not run" in said(found)
    alone = answer("pc-q35-9.2", [result(cell())], {"11.1": told()["11.1"]})
    assert "q35 without a version is pc-q35-11.1 on QEMU 11.1" in said(alone)
    assert "changes with an update" not in said(alone)


@pytest.mark.parametrize(
    ("machine", "deprecated", "removed"),
    [
        ("pc-q35-9.2", "12.2", "15.2"),
        ("pc-q35-11.1", "14.1", "17.1"),
        ("pc-q35-3.1", "9.1", "10.1"),
        ("pc-q35-2.12", "9.1", "10.1"),
        ("pc-q35-4.0.1", "9.1", "10.1"),
        ("pc-q35-5.2", "9.1", "11.2"),
        ("q35", None, None),
    ],
)
def test_when_the_policy_takes_a_type_away(machine: str, deprecated: str | None, removed: str | None) -> None:
    assert deprecation(machine) == (deprecated, removed)


def test_what_is_deprecated_already_has_no_date_for_it() -> None:
    assert deprecation("pc-q35-8.0", since="11.1") == (None, "14.0")
    found = asked([result(cell("11.1", "pc-q35-8.0"))], "11.1", own="pc-q35-8.0")
    assert "QEMU 11.1 calls pc-q35-8.0 deprecated" in said(found)
    assert "by QEMU's policy QEMU 14.0 (about April 2029) no longer has pc-q35-8.0" in said(found)
    kept = asked([result(cell())], "11.1")
    assert "pc-q35-9.2 is deprecated from QEMU 12.2 on (about December 2027)" in said(kept)


def test_months() -> None:
    assert [month(one) for one in ("8.0", "9.2", "10.0", "11.1")] == [
        "April 2023",
        "December 2024",
        "April 2025",
        "August 2026",
    ]
