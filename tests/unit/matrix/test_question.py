"""The results of shards, put together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.matrix import question
from pipeline.matrix.journal import Journal
from pipeline.matrix.machine_types import by_facts
from pipeline.matrix.question import Question, asked, merged, write
from pipeline.matrix.result import CellResult, Ended
from pipeline.matrix.selection import Release, select
from tests.unit.matrix.cells import result, told

SELECTION = select([Release(name="11.1", version="11.1")], own="pc-q35-9.2", machines="9.0,9.1,9.2")
WHOLE = Question(
    scenario="rx560",
    asked="1",
    dryboot="2",
    selection=SELECTION,
    releases={**told(), "9.0": by_facts("9.0")},
    needs={"QEMU 11.1": "abc"},
    keys={cell.name: f"key of {cell.machine}" for cell in SELECTION.cells},
)
ONE, TWO, THREE = (result(cell) for cell in SELECTION.cells)


def part(folder: Path, *results: CellResult, whole: Question = WHOLE, key: str = "") -> Path:
    (folder / question.CELLS).mkdir(parents=True)
    write(folder, whole)
    for one in results:
        Journal(folder / question.CELLS).write(key or whole.keys[one.cell.name], one)
    return folder


def test_each_cell_is_there_once_in_the_order_of_the_matrix(tmp_path: Path) -> None:
    folders = [part(tmp_path / "1", THREE, ONE), part(tmp_path / "2", TWO, ONE)]
    whole, results = merged(folders)
    assert whole == WHOLE
    assert results == (ONE, TWO, THREE)


def test_a_lab_fault_gives_way_to_what_ended(tmp_path: Path) -> None:
    fault = replace(ONE, ended=Ended.LAB_FAULT, fault="no mirror")
    assert merged([part(tmp_path / "1", fault, TWO), part(tmp_path / "2", ONE, THREE)])[1][0] == ONE
    assert merged([part(tmp_path / "3", fault, TWO), part(tmp_path / "4", THREE)])[1][0] == fault


def test_what_no_shard_has_is_a_lab_fault(tmp_path: Path) -> None:
    _, results = merged([part(tmp_path / "1", ONE), part(tmp_path / "2", THREE)])
    assert [one.ended for one in results] == [Ended.HELD, Ended.LAB_FAULT, Ended.HELD]
    assert results[1].cell == TWO.cell
    assert "none of the shards" in results[1].fault


def test_a_result_of_an_older_run_is_not_taken(tmp_path: Path) -> None:
    _, results = merged([part(tmp_path / "1", ONE, TWO, THREE, key="of another day")])
    assert {one.ended for one in results} == {Ended.LAB_FAULT}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"asked": "x"}, "another scenario or other settings"),
        ({"dryboot": "x"}, "another Dryboot"),
        ({"needs": {"QEMU 11.1": "abd"}}, "another QEMU"),
        ({"keys": {}}, "other options"),
        ({"selection": replace(SELECTION, own="pc-q35-9.1")}, "another choice of --qemu"),
    ],
)
def test_shards_of_different_matrices_are_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    other = replace(WHOLE, **change)  # type: ignore[arg-type]
    folders = [part(tmp_path / "1", ONE), part(tmp_path / "2", whole=other)]
    with pytest.raises(BadInput, match=said):
        merged(folders)


def test_what_is_no_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no matrix\.json"):
        merged([tmp_path])
    (tmp_path / question.FILE).write_text("{}")
    with pytest.raises(BadInput, match="is damaged"):
        merged([tmp_path])
    with pytest.raises(BadInput, match="is of version 7"):
        merged([part(tmp_path / "1", whole=replace(WHOLE, version=7))])


def test_what_is_asked_changes_with_text_and_settings() -> None:
    assert len({asked("a", ()), asked("b", ()), asked("a", ("b",)), asked("a", ("b", "c"))}) == 4
