"""Baselines: reviewable text, read back as written, refused with the line where damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.fingerprint.model import Fingerprint
from pipeline.matrix import baseline
from pipeline.matrix.baseline import Baseline
from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.result import Ended
from pipeline.scenario.loader import SHIPPED
from tests.unit.matrix.cells import FACTS, cell, fingerprint, result

TEXTS = st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4)
BASELINES = st.builds(
    lambda checks, facts, left_out, compat: Baseline(
        cell=cell(), checks=checks, fingerprint=Fingerprint(facts=facts, left_out=left_out), compat=compat
    ),
    st.dictionaries(st.text(max_size=12), st.booleans(), max_size=4),
    TEXTS,
    TEXTS,
    st.none() | TEXTS,
)


def kept(where: Cell | None = None) -> Baseline:
    found = baseline.of(result(where, compat={"mch.a": "16"}))
    assert found is not None
    return found


@given(BASELINES)
def test_read_back_as_written(one: Baseline) -> None:
    assert baseline.loads(one.text(), file="f") == one


def test_the_same_bytes_for_the_same_content() -> None:
    turned = Baseline(
        cell=cell(),
        checks={"firmware": True},
        fingerprint=Fingerprint(facts=dict(reversed(list(FACTS.items())))),
        compat={"mch.a": "16"},
    )
    assert turned.text() == kept().text()
    assert '\n  "pci/01:00.0/ids": "1002:67ef",\n' in kept().text().replace("   ", "  ")


def test_what_makes_no_baseline() -> None:
    assert baseline.of(result(ended=Ended.LAB_FAULT)) is None
    failed = baseline.of(result(failed=("firmware",)))
    assert failed is not None
    assert failed.checks == {"firmware": False}


def test_files_beside_the_scenario(tmp_path: Path) -> None:
    where = baseline.folder(tmp_path / "mine.yaml")
    assert where == tmp_path / "baselines" / "mine"
    assert baseline.folder(SHIPPED / "rx560.yaml") == SHIPPED / "baselines" / "rx560"
    nested = cell("10.0", "pc-q35-9.2", Lane.NESTED)
    assert baseline.read_all(where) == ()
    written = baseline.write(where, [kept(), kept(nested)])
    assert written == ("nested-10.0-pc-q35-9.2.json", "fast-11.1-pc-q35-9.2.json")
    assert {one.cell for one in baseline.read_all(where)} == {cell(), nested}
    assert sorted(path.name for path in where.iterdir()) == sorted(written)


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    baseline.write(tmp_path, [kept()])
    before = (tmp_path / "fast-11.1-pc-q35-9.2.json").stat()
    assert baseline.write(tmp_path, [kept()]) == ()
    assert (tmp_path / "fast-11.1-pc-q35-9.2.json").stat() == before
    other = Baseline(cell=cell(), checks={}, fingerprint=fingerprint())
    assert baseline.write(tmp_path, [other]) == ("fast-11.1-pc-q35-9.2.json",)
    assert baseline.read_all(tmp_path) == (other,)


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "fast-11.1-pc-q35-9.2.json").mkdir()
    with pytest.raises(BadInput, match="cannot write the baselines"):
        baseline.write(tmp_path, [kept()])
    assert [path.name for path in tmp_path.iterdir()] == ["fast-11.1-pc-q35-9.2.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="--accept keeps them beside"):
        baseline.write(tmp_path / "file" / "below", [kept()])


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('"baseline": 1', '"baseline": 2', 2, "no baseline of version 1"),
        ('"qemu": "11.1"', '"qemu": 11.1', 3, "'qemu' is missing or no text"),
        ('"lane": "fast"', '"lane": "slow"', 5, "'slow' is no lane"),
        ('"firmware": "held"', '"firmware": "maybe"', 6, "held or failed"),
        ('"mch.a": "16"', '"mch.a": 16', 9, "table of texts, or null"),
        ('"version": 1', '"version": 7', 12, "no fingerprint of version 1"),
        ('"pci/01:00.0/ids": "1002:67ef"', '"pci/01:00.0/ids": 7', 12, "has to be a table of texts"),
        ('"compat": {', '"compat": ', 10, "not JSON"),
        ('"mch.a": "16"', '"mch.a": "16", "mch.a": "17"', 1, "'mch.a' is there twice"),
    ],
)
def test_a_damaged_one_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    path = tmp_path / "fast-11.1-pc-q35-9.2.json"
    text = kept().text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(BadInput, match=message) as error:
        baseline.read_all(tmp_path, shown="baselines/x")
    assert error.value.place is not None
    assert error.value.place.file == "baselines/x/fast-11.1-pc-q35-9.2.json"
    assert error.value.place.line == line
    assert "--accept" in error.value.hint


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.dictionaries(
            st.sampled_from(["baseline", "qemu", "machine", "lane", "checks", "compat", "fingerprint"]), inner
        ),
        max_leaves=8,
    )
)
def test_whatever_is_in_a_file_is_bad_input_or_a_baseline(value: object) -> None:
    try:
        baseline.loads(json.dumps(value), file="f")
    except BadInput as error:
        assert error.place is not None
    else:
        pytest.fail("no such value is a baseline")


def test_odd_files(tmp_path: Path) -> None:
    name = "fast-11.1-pc-q35-9.2.json"
    (tmp_path / "README").write_text("not ours")
    (tmp_path / name).write_bytes(b'{\n"baseline": "\xff"')
    with pytest.raises(BadInput, match="not UTF-8") as error:
        baseline.read_all(tmp_path)
    assert error.value.place is not None
    assert error.value.place.line == 2
    (tmp_path / name).write_text(kept(cell("10.0")).text())
    with pytest.raises(BadInput, match=r"it says that it is of fast-10\.0"):
        baseline.read_all(tmp_path)
    (tmp_path / name).write_bytes(b" " * ((4 << 20) + 1))
    with pytest.raises(BadInput, match="at most 4 MiB"):
        baseline.read_all(tmp_path)
    (tmp_path / name).write_text("[" * 100_000)
    with pytest.raises(BadInput):
        baseline.read_all(tmp_path)


def test_which_one_a_cell_is_compared_with() -> None:
    own = cell("11.1", "pc-q35-9.2")
    all_of_them = [
        kept(one)
        for one in (
            own,
            cell("10.0", "pc-q35-9.2", Lane.NESTED),
            cell("10.0", "pc-q35-9.2"),
            cell("10.0", "pc-q35-10.0"),
            cell("10.0", "pc-q35-3.1"),
        )
    ]

    def chosen(where: Cell, against: str = "") -> Cell | None:
        found = baseline.reference(where, all_of_them, against)
        return found.cell if found else None

    assert chosen(own) == own
    assert chosen(cell("11.1", "pc-q35-11.1")) is None
    assert chosen(own, "10.0") == cell("10.0", "pc-q35-9.2")
    assert chosen(cell("11.1", "pc-q35-9.2", Lane.NESTED), "10.0") == cell("10.0", "pc-q35-9.2", Lane.NESTED)
    assert chosen(cell("11.1", "pc-q35-11.1"), "10.0") == cell("10.0", "pc-q35-10.0")
    assert chosen(cell("11.1", "pc-q35-11.1"), "10.0/pc-q35-9.2") == cell("10.0", "pc-q35-9.2")
    assert chosen(cell("11.1", "pc-q35-2.4"), "10.0") is None
    for against in ("9.9", "10.0/pc-q35-8.0"):
        with pytest.raises(BadInput, match="there is no baseline of") as error:
            chosen(own, against)
        assert "10.0/pc-q35-3.1" in error.value.hint
