"""A job is plain data, and its key changes with everything that counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import LabFault
from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.job import JOB, Job, dryboot, run
from pipeline.matrix.result import CellResult, Ended
from tests.unit.matrix.conftest import job


class Alike:
    """A lane that answers at once."""

    def __init__(self, needs: Mapping[str, str], cell: Cell | None = None) -> None:
        self._needs = needs
        self._cell = cell

    def needs(self, qemu: str) -> Mapping[str, str]:
        return self._needs

    def run(self, job: Job) -> CellResult:
        return CellResult(cell=self._cell or job.cell, ended=Ended.HELD)


def test_it_goes_through_json() -> None:
    one = job(what="guest.memory=4 GiB", accelerator="tcg", scenario="schema: 1\nname: ü\n")
    assert JOB.validate_json(JOB.dump_json(one)) == one


@pytest.mark.parametrize(
    "change",
    [
        {"cell": Cell(qemu="11.1", machine="pc-q35-9.2", lane=Lane.FAST)},
        {"cell": Cell(qemu="10.0", machine="pc-q35-9.1", lane=Lane.FAST)},
        {"cell": Cell(qemu="10.0", machine="pc-q35-9.2", lane=Lane.NESTED)},
        {"scenario": "schema: 1\n\n"},
        {"file": "hosts/mine.yaml"},
        {"settings": ("a=b",)},
        {"needs": {"QEMU 10.0": "abd"}},
        {"needs": {"QEMU 10.0": "abc", "image": "1"}},
        {"dryboot": "0"},
        {"accelerator": "kvm"},
    ],
)
def test_a_change_of_what_it_is_made_of_changes_its_key(change: dict[str, object]) -> None:
    assert replace(job(), **change).key != job().key  # type: ignore[arg-type]


def test_its_deadline_and_the_order_of_its_needs_do_not() -> None:
    assert replace(job(), deadline=1).key == job().key
    needs = {"a": "1", "b": "2"}
    turned = dict(reversed(needs.items()))
    assert job(needs=needs).key == job(needs=turned).key


def test_the_digest_of_the_program_is_of_what_it_is_made_of(tmp_path: Path) -> None:
    def digest(file: str, text: str) -> str:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return dryboot(tmp_path)

    first = digest("pipeline/a.py", "1")
    assert len(first) == 16
    # What a run compiles is no change of the program.
    for compiled in (
        "pipeline/__pycache__/a.pyc",
        "templates/__pycache__/a.j2c",
        "templates/ci/__pycache__/x",
    ):
        assert digest(compiled, "compiled") == first
    for file in (
        "pipeline/a.py",
        "pipeline/facts/data/a.toml",
        "templates/ci/a.j2",
        "templates/common/etc/a",
    ):
        changed = digest(file, "2")
        assert changed != first
        first = changed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dryboot": "other"}, f"Dryboot is {dryboot()} here and other where"),
        ({"needs": {"QEMU 10.0": "abd"}}, "QEMU 10.0 is abc here and abd where"),
        ({"needs": {}}, "QEMU 10.0 is abc here and none where"),
        ({"needs": {"QEMU 10.0": "abc", "image": "1"}}, "image is none here and 1 where"),
    ],
)
def test_a_worker_that_has_something_else_runs_nothing(change: dict[str, object], said: str) -> None:
    result = run(replace(job(), **change), {Lane.FAST: Alike({"QEMU 10.0": "abc"})})  # type: ignore[arg-type]
    assert result.ended is Ended.LAB_FAULT
    assert said in result.fault


def test_the_lane_answers_for_the_cell() -> None:
    needs = {"QEMU 10.0": "abc"}
    other = Cell(qemu="10.0", machine="pc-q35-9.1", lane=Lane.FAST)
    assert run(job(), {Lane.FAST: Alike(needs)}).ended is Ended.HELD
    mixed_up = run(job(), {Lane.FAST: Alike(needs, other)})
    assert (mixed_up.cell, mixed_up.ended) == (job().cell, Ended.LAB_FAULT)
    absent = run(job(lane=Lane.NESTED), {Lane.FAST: Alike(needs)})
    assert absent.ended is Ended.LAB_FAULT
    assert "nested" in absent.fault


def test_a_fault_of_the_lab_and_a_mistake_are_results() -> None:
    class Broken(Alike):
        def run(self, job: Job) -> CellResult:
            raise LabFault("no mirror answers", hint="later") if job.settings else IndexError("past the end")

    lanes = {Lane.FAST: Broken({"QEMU 10.0": "abc"})}
    lab, mistake = run(job(what="x"), lanes), run(job(), lanes)
    assert (lab.ended, lab.fault) == (Ended.LAB_FAULT, "no mirror answers\n  hint: later")
    assert mistake.ended is Ended.LAB_FAULT
    assert "IndexError" in mistake.fault
    assert "past the end" in mistake.console
