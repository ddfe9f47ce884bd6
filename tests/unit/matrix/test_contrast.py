"""Two fingerprints become a few differences in a stable order."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.fingerprint.model import Fingerprint
from pipeline.matrix.contrast import check_differences, compare
from pipeline.matrix.difference import Kind, Weight, flat, group
from pipeline.matrix.result import CellCheck
from tests.unit.matrix.cells import FACTS, fingerprint

WORDS = st.text(st.sampled_from("abc01:.@-"), min_size=1, max_size=8)
PATHS = st.one_of(
    st.sampled_from(sorted(FACTS)), st.lists(WORDS, min_size=1, max_size=4).map(lambda parts: "/".join(parts))
)
FINGERPRINTS = st.builds(
    lambda facts, left_out: Fingerprint(facts=facts, left_out=left_out),
    st.dictionaries(PATHS, st.sampled_from(["a", "b", "1002:67ef"]), max_size=12),
    st.dictionaries(PATHS, WORDS, max_size=2),
)


@given(FINGERPRINTS)
def test_a_fingerprint_does_not_differ_from_itself(one: Fingerprint) -> None:
    assert compare(one, one).differences == ()


@given(FINGERPRINTS, FINGERPRINTS)
@example(Fingerprint(facts={}), Fingerprint(facts={"0/0": "a", "0/00": "a"}))
def test_the_order_does_not_depend_on_that_of_the_facts(one: Fingerprint, other: Fingerprint) -> None:
    turned = [replace(each, facts=dict(reversed(list(each.facts.items())))) for each in (one, other)]
    assert compare(one, other) == compare(*turned)


@given(FINGERPRINTS, FINGERPRINTS)
def test_nothing_that_differs_is_lost(one: Fingerprint, other: Fingerprint) -> None:
    """Each fact that both could take and that differs is in a difference, whole devices by their facts."""
    shown = {each.path for each in flat(compare(one, other).differences)}
    moved = {
        each.path.rpartition("/")[2] for each in compare(one, other).differences if each.kind is Kind.MOVED
    }
    for path in {**one.facts, **other.facts}:
        both = path in one.facts and path in other.facts
        if both and one.facts[path] != other.facts[path] and group(path).rpartition("/")[2] not in moved:
            assert path in shown or group(path) in shown


def test_a_changed_fact() -> None:
    (found,) = compare(fingerprint(), fingerprint({"smbios/0/version": "2026.08"})).differences
    assert (found.path, found.before, found.after) == ("smbios/0/version", "2025.02-8", "2026.08")
    assert (found.kind, found.weight) == (Kind.CHANGED, Weight.HARMLESS)


def test_a_device_that_vanished_is_one_difference() -> None:
    gone = {path: None for path in FACTS if path.startswith("pci/02:00.0/")}
    (found,) = compare(fingerprint(), fingerprint(gone)).differences
    assert (found.path, found.kind, found.before) == ("pci/02:00.0", Kind.REMOVED, "1af4:1042")
    assert [one.path for one in found.details] == [
        "pci/02:00.0/MSI-X/vectors",
        "pci/02:00.0/class",
        "pci/02:00.0/ids",
        "pci/02:00.0/subsystem",
    ]
    (back,) = compare(fingerprint(gone), fingerprint()).differences
    assert (back.kind, back.after) == (Kind.ADDED, "1af4:1042")


def test_a_function_that_moved_is_known_by_its_ids() -> None:
    move: dict[str, str | None] = {}
    for path, value in FACTS.items():
        if "/02:00.0/" in path:
            move[path] = None
            move[path.replace("02:00.0", "03:00.0")] = value
    move["pci/03:00.0/MSI-X/vectors"] = "5"
    (found,) = compare(fingerprint(), fingerprint(move)).differences
    assert (found.kind, found.before, found.after) == (Kind.MOVED, "02:00.0", "03:00.0")
    assert [(one.path, one.before, one.after) for one in found.details] == [
        ("pci/03:00.0/MSI-X/vectors", "3", "5")
    ]


def test_another_function_at_the_same_address_is_no_change_of_the_old_one() -> None:
    found = compare(fingerprint(), fingerprint({"pci/01:00.0/ids": "10de:1c82"})).differences
    assert [(one.path, one.kind) for one in found] == [
        ("pci/01:00.0", Kind.ADDED),
        ("pci/01:00.0", Kind.REMOVED),
    ]


def test_two_functions_that_changed_places() -> None:
    swap = {
        "pci/01:00.0/ids": "1af4:1042",
        "pci/01:00.0/subsystem": "1af4:1100",
        "pci/01:00.0/class": "010000",
        "pci/02:00.0/ids": "1002:67ef",
        "pci/02:00.0/subsystem": "148c:2385",
        "pci/02:00.0/class": "030000",
    }
    found = compare(fingerprint(), fingerprint(swap)).differences
    assert [(one.before, one.after) for one in found] == [("01:00.0", "02:00.0"), ("02:00.0", "01:00.0")]


def test_what_one_side_could_not_take_is_not_missing() -> None:
    """A path or a section that is left out on one side says nothing; what both took is compared."""
    other = Fingerprint(
        facts={
            path: value
            for path, value in {**FACTS, "pci/01:00.0/ids": "1002:67ff"}.items()
            if not path.startswith("acpi/") and path != "pci/01:00.0/BAR 0"
        },
        left_out={"acpi": "this QEMU has none", "pci/01:00.0": "its config space was not read"},
    )
    found = compare(fingerprint(), other)
    assert {one.path for one in found.differences} == {"pci/01:00.0"}
    assert found.left_out == other.left_out


def test_checks() -> None:
    after = (
        CellCheck(name="firmware", held=False, observed="nothing on the serial line"),
        CellCheck(name="function[01:00.0]", held=True, observed="1002:67ef"),
        CellCheck(name="new", held=False, observed="never seen"),
    )
    before = {"firmware": True, "function[01:00.0]": False}
    broken, mended = check_differences(before, after)
    assert (broken.path, broken.weight, broken.after) == (
        "checks/firmware",
        Weight.BREAKS,
        "failed: nothing on the serial line",
    )
    assert mended.weight is Weight.HARMLESS
    assert check_differences({"firmware": False}, after[:1]) == ()
