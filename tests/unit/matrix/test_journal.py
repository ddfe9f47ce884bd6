"""Results are kept as they were, and nothing else is taken for one."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadInput, LabFault
from pipeline.fingerprint.model import Fingerprint
from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.job import RESULT
from pipeline.matrix.journal import Journal
from pipeline.matrix.result import CellCheck, CellResult, Ended
from tests.matrix_lanes import held
from tests.unit.matrix.conftest import job

TABLES = st.dictionaries(st.text(), st.text())
RESULTS = st.builds(
    CellResult,
    cell=st.builds(Cell, qemu=st.text(), machine=st.text(), lane=st.sampled_from(Lane)),
    ended=st.sampled_from(Ended),
    checks=st.lists(st.builds(CellCheck, name=st.text(), held=st.booleans(), observed=st.text())).map(tuple),
    fingerprint=st.none() | st.builds(Fingerprint, facts=TABLES, left_out=TABLES),
    compat=st.none() | TABLES,
    times=st.dictionaries(st.text(), st.floats(0, 1e9)),
    stand_ins=st.lists(st.text()).map(tuple),
    fault=st.text(),
    console=st.text(),
    attempts=st.integers(1, 9),
)


@given(RESULTS)
def test_a_result_goes_through_json(result: CellResult) -> None:
    assert RESULT.validate_json(RESULT.dump_json(result)) == result


def test_it_is_found_under_its_key_only(tmp_path: Path) -> None:
    journal, result = Journal(tmp_path), held(job())
    journal.write("one", result)
    assert journal.finished("one", result.cell.name) == result
    assert journal.finished("two", result.cell.name) is None
    assert journal.finished("one", "fast-10.0-pc-q35-9.1") is None
    journal.write("two", result)
    assert journal.finished("one", result.cell.name) is None
    assert [path.name for path in tmp_path.iterdir()] == [f"{result.cell.name}.json"]


def test_a_lab_fault_is_kept_but_not_finished(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    result = CellResult(cell=job().cell, ended=Ended.LAB_FAULT, fault="no mirror", attempts=2)
    journal.write("one", result)
    assert journal.read("one", result.cell.name) == result
    assert journal.finished("one", result.cell.name) is None


def test_a_file_of_another_cell_is_not_taken(tmp_path: Path) -> None:
    journal, result = Journal(tmp_path), held(job())
    journal.write("one", result)
    (tmp_path / f"{result.cell.name}.json").rename(tmp_path / "fast-10.0-pc-q35-8.0.json")
    assert journal.read("one", "fast-10.0-pc-q35-8.0") is None


@given(st.data())
def test_half_a_file_is_never_taken(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("cells")
    journal, result = Journal(folder), held(job())
    journal.write("one", result)
    path = folder / f"{result.cell.name}.json"
    whole = path.read_bytes()
    # The line feed at its end is no part of the value.
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 2))])
    assert journal.read("one", result.cell.name) is None


@given(st.binary())
def test_what_is_no_result_is_not_taken(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("cells")
    (folder / f"{job().cell.name}.json").write_bytes(data)
    assert Journal(folder).read("one", job().cell.name) is None


def test_a_write_that_fails_leaves_the_older_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, result = Journal(tmp_path), held(job())
    journal.write("one", result)

    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LabFault, match="no space left"):
        journal.write("two", result)
    assert journal.finished("one", result.cell.name) == result
    assert len(list(tmp_path.iterdir())) == 1


def _hold(folder: str, ready: object) -> None:
    with Journal(Path(folder)).held():
        ready.send(1)  # type: ignore[attr-defined]
        ready.recv()  # type: ignore[attr-defined]


def test_two_runs_do_not_write_into_one(tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    other = multiprocessing.get_context("spawn").Process(target=_hold, args=(str(tmp_path), there))
    other.start()
    try:
        assert here.recv() == 1
        with pytest.raises(BadInput, match="another run writes"), Journal(tmp_path).held():
            pass
    finally:
        # However it ended, it holds nothing any more.
        other.kill()
        other.join()
    with Journal(tmp_path).held():
        pass


def test_a_directory_that_cannot_be_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot write"), Journal(tmp_path / "file/cells").held():
        pass
