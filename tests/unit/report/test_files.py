"""The report's directory: replaced whole, never mixed with anything else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.report.files import check, fresh


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def report(target: Path, text: str) -> None:
    with fresh(target) as folder:
        (folder / "verdict.json").write_text(text)


def test_it_appears_when_the_run_has_ended_well(tmp_path: Path) -> None:
    target = tmp_path / "new" / "report"
    with fresh(target) as folder:
        (folder / "verdict.json").touch()
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["verdict.json"]
    assert [path.name for path in target.parent.iterdir()] == ["report"]


def test_it_takes_the_place_of_an_older_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "report"
    report(target, "old")
    (target / "logs").mkdir()
    report(target, "new")
    assert (target / "verdict.json").read_text() == "new"
    assert not (target / "logs").exists()
    assert list(tmp_path.iterdir()) == [target]


def test_a_run_that_does_not_end_well_leaves_the_older_one(tmp_path: Path) -> None:
    target = tmp_path / "report"
    report(target, "old")
    with pytest.raises(KeyboardInterrupt), fresh(target) as folder:
        (folder / "verdict.json").write_text("new")
        raise KeyboardInterrupt
    assert (target / "verdict.json").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_in_a_bundle_nothing_hidden_lies_in_the_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    with fresh(bundle / "report", beside=bundle) as folder:
        assert list(bundle.iterdir()) == []
        assert folder.parent.parent == tmp_path
    assert [path.name for path in bundle.iterdir()] == ["report"]


def test_what_a_killed_run_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    dead = tmp_path / f".report.report-{dead_pid()}-abc"
    living = tmp_path / f".report.report-{os.getpid()}-abc"
    junk = tmp_path / ".report.report-junk"
    for path in (dead, living, junk):
        path.mkdir()
    report(tmp_path / "report", "new")
    assert not dead.exists()
    assert not junk.exists()
    assert living.exists()


@pytest.mark.parametrize("name", ["[ab]", "*", "?"])
def test_a_name_is_not_a_pattern(tmp_path: Path, name: str) -> None:
    another = tmp_path / f".a.report-{os.getpid()}-abc"
    own = tmp_path / f".{name}.report-{dead_pid()}-abc"
    for path in (another, own):
        path.mkdir()
    report(tmp_path / name, "new")
    assert another.exists()
    assert not own.exists()


def test_a_place_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot write"), fresh(tmp_path / "file" / "report"):
        pass


def test_an_older_report_or_nothing_may_be_replaced(tmp_path: Path) -> None:
    check(tmp_path / "none")
    target = tmp_path / "report"
    report(target, "old")
    (target / "junit.xml").touch()
    (target / "logs").mkdir()
    check(target)


def test_a_directory_with_anything_else_is_refused_by_its_name(tmp_path: Path) -> None:
    report(tmp_path / "report", "old")
    (tmp_path / "report" / "thesis.tex").touch()
    with pytest.raises(BadInput, match=r"thesis\.tex"):
        check(tmp_path / "report")


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_what_is_not_a_directory_is_refused(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "report"
    if kind == "file":
        target.touch()
    else:
        target.symlink_to(tmp_path if kind == "link" else "nowhere")
    with pytest.raises(BadInput, match="not a directory"):
        check(target)
