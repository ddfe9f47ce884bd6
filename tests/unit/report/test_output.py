from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.report.output import output


def test_a_file_is_there_whole_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.sarif"
    path.write_text("old")
    with output(path) as write:
        write("né")
        assert path.read_text() == "old"
        write("w\udcff")
    assert path.read_bytes() == "néw\\udcff".encode()
    assert [one.name for one in tmp_path.iterdir()] == ["x.sarif"]
    (tmp_path / "other").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.sarif"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), output(path) as write:
        write("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["none/x", "folder", "a\0b", "x" * 300])
def test_what_cannot_be_written_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match="cannot write"), output(tmp_path / name) as write:
        write("x")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_without_a_file_it_goes_to_standard_output(capsys) -> None:
    with output(None) as write:
        write("x")
    assert capsys.readouterr() == ("x", "")
