"""Functions as text: what goes out comes back, and nothing else comes in."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.device.function import DEFECTS, Bar, BarKind, FunctionSpec, from_json, to_json

IDS = st.integers(0, 0xFFFF)


@st.composite
def bars(draw: st.DrawFn) -> tuple[Bar, ...]:
    found: list[Bar] = []
    slot = 0
    while slot < 6:
        kinds = [kind for kind in BarKind if slot < 5 or not kind.wide]
        kind = draw(st.none() | st.sampled_from(kinds))
        if kind is not None:
            smallest, largest = (2, 8) if kind is BarKind.IO else (4, 40 if kind.wide else 31)
            found.append(Bar(index=slot, size=1 << draw(st.integers(smallest, largest)), kind=kind))
            slot += kind.wide
        slot += 1
    return tuple(found)


SPECS = st.builds(
    FunctionSpec,
    name=st.from_regex(r"[a-z0-9:_-][a-z0-9:._-]{0,20}", fullmatch=True),
    vendor_id=IDS,
    device_id=IDS,
    class_code=st.integers(0, 0xFFFFFF),
    subsystem_vendor_id=IDS,
    subsystem_id=IDS,
    revision=st.integers(0, 0xFF),
    bars=bars(),
    interrupt_pin=st.integers(0, 4),
    multifunction=st.booleans(),
    msi_vectors=st.sampled_from([0, 1, 2, 4, 8, 16, 32]),
    flr=st.booleans(),
    broken=st.frozensets(st.sampled_from(sorted(DEFECTS))),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def as_value(spec: FunctionSpec) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(to_json([spec]))[0]
    return value


@given(st.lists(SPECS, max_size=4, unique_by=lambda spec: spec.name))
def test_functions_come_back_from_their_text(specs: list[FunctionSpec]) -> None:
    assert from_json(to_json(specs)) == tuple(specs)


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_refused_with_a_value_error_or_read(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(spec, FunctionSpec) for spec in from_json(text))


@given(SPECS, st.data())
def test_any_change_of_a_value_is_refused_with_a_value_error_or_read(
    spec: FunctionSpec, data: st.DataObject
) -> None:
    value = as_value(spec)
    holder = data.draw(st.sampled_from([value, *value["bars"]]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON)
    with contextlib.suppress(ValueError):
        assert len(from_json(json.dumps([value]))) == 1


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="nest"):
        from_json("[" * 100_000)


def test_two_functions_of_one_name_are_refused(gpu: FunctionSpec) -> None:
    with pytest.raises(ValueError, match="name"):
        from_json(to_json([gpu, gpu]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vendor_id", 0x10000),
        ("device_id", -1),
        ("subsystem_id", "0x2385"),
        ("class_code", 0x1000000),
        ("revision", 256),
        ("interrupt_pin", 5),
        ("multifunction", 1),
        ("msi_vectors", 3),
        ("name", "../gpu"),
        ("name", ".gpu"),
        ("name", ""),
        ("bars", {}),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(gpu: FunctionSpec, key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        from_json(json.dumps([{**as_value(gpu), key: value}]))


def test_a_missing_and_an_unknown_key_are_named(gpu: FunctionSpec) -> None:
    value = as_value(gpu)
    with pytest.raises(ValueError, match="speed"):
        from_json(json.dumps([{**value, "speed": 8}]))
    del value["revision"]
    with pytest.raises(ValueError, match="revision"):
        from_json(json.dumps([value]))


@pytest.mark.parametrize(
    ("index", "size", "kind"),
    [
        (6, 16, BarKind.MEM32),
        (-1, 16, BarKind.MEM32),
        (5, 16, BarKind.MEM64),
        (0, 0, BarKind.MEM32),
        (0, 8, BarKind.MEM32),
        (0, 24, BarKind.MEM32),
        (0, 2, BarKind.IO),
        (0, 512, BarKind.IO),
        (0, 1 << 32, BarKind.MEM32),
        (0, 1 << 41, BarKind.MEM64),
    ],
)
def test_a_bar_that_cannot_be_is_refused(index: int, size: int, kind: BarKind) -> None:
    with pytest.raises(ValueError, match="bars"):
        Bar(index=index, size=size, kind=kind)


def test_a_64_bit_bar_takes_two_slots(gpu: FunctionSpec) -> None:
    value = as_value(gpu)
    value["bars"].append({"index": 1, "size": 16, "kind": "mem32"})
    with pytest.raises(ValueError, match="overlap"):
        from_json(json.dumps([value]))


@pytest.mark.parametrize("broken", [["no-such-thing"], "no-intx", [1], None])
def test_a_defect_that_is_not_known_is_refused(gpu: FunctionSpec, broken: Any) -> None:
    value = as_value(gpu)
    value["broken"] = broken
    with pytest.raises(ValueError, match="broken"):
        from_json(json.dumps([value]))
