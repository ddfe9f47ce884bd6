"""Options to cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.facts import machines, table
from pipeline.facts.machines import Status
from pipeline.matrix.cell import Lane
from pipeline.matrix.selection import Release, Selection, in_order, select, shard, words_of_qemu

DEBIAN = [Release(name=version, version=version) for version in ("7.2", "10.0", "11.1")]
VERSIONS = table("machines")["q35"]["versions"]


def statuses(selection: Selection, machine: str) -> dict[str, str]:
    found = {one.qemu: one.status.value for one in selection.absent if one.machine == machine}
    return found | {one.qemu: "cell" for one in selection.cells if one.machine == machine}


def test_all_is_what_the_releases_have() -> None:
    selection = select(DEBIAN, own="pc-q35-9.2")
    assert len(selection.cells) == sum(len(machines.available(one.version)) for one in DEBIAN) > 50
    assert statuses(selection, "pc-q35-3.1") == {"7.2": "cell", "10.0": "cell", "11.1": "removed"}
    assert statuses(selection, "pc-q35-9.2") == {"7.2": "not yet there", "10.0": "cell", "11.1": "cell"}
    assert statuses(selection, "pc-q35-11.1") == {
        "7.2": "not yet there",
        "10.0": "not yet there",
        "11.1": "cell",
    }
    assert selection.qemus == ("7.2", "10.0", "11.1")
    assert (selection.machines[0], selection.machines[-1]) == ("pc-q35-2.4", "pc-q35-11.1")


def test_the_own_type_is_there_although_no_release_has_it() -> None:
    selection = select(DEBIAN[2:], own="pc-q35-3.1", machines="10.0")
    assert [cell.machine for cell in selection.cells] == ["pc-q35-10.0"]
    assert statuses(selection, "pc-q35-3.1") == {"11.1": "removed"}


def test_supported_leaves_out_what_is_deprecated_but_for_the_own() -> None:
    selection = select(DEBIAN[1:], own="pc-q35-6.2", machines="supported")
    assert statuses(selection, "pc-q35-7.2") == {"10.0": "cell", "11.1": "deprecated"}
    assert statuses(selection, "pc-q35-6.2") == {"10.0": "cell", "11.1": "cell"}
    assert statuses(selection, "pc-q35-6.1") == {}


def test_a_list_has_names_and_versions() -> None:
    selection = select(DEBIAN, own="pc-q35-9.2", machines="8.0, pc-q35-4.0.1,q35")
    assert selection.machines == ("pc-q35-4.0.1", "pc-q35-8.0", "pc-q35-9.2", "q35")
    assert statuses(selection, "q35") == {"7.2": "cell", "10.0": "cell", "11.1": "cell"}


def test_what_a_release_was_seen_to_have_counts() -> None:
    has = ("pc-q35-8.1", "pc-q35-9.1", "pc-q35-9.2", "pc-q35-12.0")
    own = Release(name="mine", version="11.1", machines=has, deprecated=("pc-q35-9.1",))
    selection = select([own], own="pc-q35-9.2", machines="12.0,8.1,10.0,3.1")
    assert statuses(selection, "pc-q35-12.0") == {"mine": "cell"}
    assert statuses(selection, "pc-q35-8.1") == {"mine": "cell"}
    assert statuses(selection, "pc-q35-10.0") == {"mine": "unknown"}
    assert statuses(selection, "pc-q35-3.1") == {"mine": "removed"}
    assert (own.status("pc-q35-8.1"), own.status("pc-q35-9.1")) == (Status.SUPPORTED, Status.DEPRECATED)
    supported = select([own], own="pc-q35-9.2", machines="supported")
    assert statuses(supported, "pc-q35-9.1") == {}


def test_the_fast_lane_comes_first() -> None:
    selection = select(DEBIAN[1:], own="pc-q35-9.2", machines="9.2,10.0", lane="both")
    assert [cell.lane for cell in selection.cells] == [Lane.FAST] * 4 + [Lane.NESTED] * 4
    assert len({cell.name for cell in selection.cells}) == 8
    nested = select(DEBIAN[1:], own="pc-q35-9.2", machines="9.2", lane="nested")
    assert {cell.lane for cell in nested.cells} == {Lane.NESTED}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lane": "slow"}, "there is no lane 'slow'"),
        ({"machines": "9.9"}, "no QEMU release has a Q35 machine type '9.9'"),
        ({"machines": "pc-q35-9.22"}, "is one of these meant: pc-q35-9.2"),
        ({"machines": "9.2,,8.0"}, "cannot read --machines"),
        ({"machines": ""}, "cannot read --machines"),
        ({"machines": "pc-i440fx-9.2"}, "no QEMU release has a Q35 machine type"),
        ({"releases": []}, "no QEMU release is named"),
        ({"releases": [Release(name="../x", version="11.1")]}, "is no name of a QEMU release"),
    ],
)
def test_what_cannot_be_read_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        select(**{"releases": DEBIAN, "own": "pc-q35-9.2", **options})  # type: ignore[arg-type]
    assert said in str(refused.value)


@given(st.integers(1, 12))
def test_the_shards_together_have_each_cell_once(count: int) -> None:
    selection = select(DEBIAN, own="pc-q35-9.2")
    parts = [selection.shard(number, count) for number in range(1, count + 1)]
    assert sorted(cell for part in parts for cell in part) == sorted(selection.cells)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.text(max_size=12))
def test_a_shard_is_a_part_of_a_whole_or_refused(text: str) -> None:
    try:
        number, count = shard(text)
    except BadInput:
        return
    assert 1 <= number <= count
    assert text.isascii()
    assert [int(word) for word in text.split("/")] == [number, count]


@pytest.mark.parametrize("text", ["0/4", "5/4", "2", "2/", "-1/2", "1/0", "a/b", "1/2/3", " 1/2"])
def test_these_are_no_shards(text: str) -> None:
    with pytest.raises(BadInput, match="cannot read --shard"):
        shard(text)


@given(st.text(max_size=40))
def test_any_list_of_machines_is_taken_or_refused(text: str) -> None:
    try:
        selection = select(DEBIAN, own="pc-q35-9.2", machines=text)
    except BadInput:
        return
    assert {cell.machine for cell in selection.cells} <= {f"pc-q35-{one}" for one in VERSIONS} | {"q35"}


def test_releases_are_named_once() -> None:
    assert words_of_qemu("10.0, 7.2,10.0") == ("10.0", "7.2")
    with pytest.raises(BadInput, match="cannot read --qemu"):
        words_of_qemu("10.0,")


def test_order_is_by_numbers() -> None:
    names = ["q35", "pc-q35-10.0", "pc-q35-4.1", "pc-q35-4.0.1", "pc-q35-9.2", "pc-i440fx-9.2", "pc-q35-4.0"]
    assert in_order(names) == (
        "pc-i440fx-9.2",
        "pc-q35-4.0",
        "pc-q35-4.0.1",
        "pc-q35-4.1",
        "pc-q35-9.2",
        "pc-q35-10.0",
        "q35",
    )
