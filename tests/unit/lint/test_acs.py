"""The override of ACS: each rule firing, and silent beside it."""

from dataclasses import replace

import pytest

from pipeline.lint import acs
from tests.unit.lint.setups import brief, edits, line, of


def test_an_override_costs_isolation_where_the_group_is_shared() -> None:
    setup = line(of("bad-group"), "pcie_acs_override=downstream,multifunction")
    assert brief(acs.override, setup) == [
        ("warning", "pcie_acs_override=downstream,multifunction only claims isolation")
    ]
    assert edits(acs.override, setup) == []


def test_an_override_that_is_not_needed_can_go() -> None:
    setup = line(of(), "pcie_acs_override=downstream")
    assert brief(acs.override, setup) == [
        ("warning", "pcie_acs_override=downstream is not needed: the groups are clean without it")
    ]
    assert edits(acs.override, setup) == [("remove", "pcie_acs_override=downstream", "")]


def test_whether_it_is_needed_cannot_be_told_from_groups_that_were_read() -> None:
    setup = line(of(), "pcie_acs_override=downstream")
    assert setup.board is not None
    read = replace(setup, board=replace(setup.board, topology=None))
    for silent in (read, replace(setup, board=None)):
        assert brief(acs.override, silent) == [
            ("warning", "pcie_acs_override=downstream only claims isolation")
        ]
    assert brief(acs.override, line(of("bad-group"), "pcie_aspm=off")) == []


@pytest.mark.parametrize(
    ("value", "odd"),
    [
        ("downstream", ""),
        ("downstream,multifunction,id:1022:43c7", ""),
        ("on", "on"),
        ("downstream,functions", "functions"),
        ("id:1022", "id:1022"),
        ("", "an empty value"),
    ],
)
def test_values_of_the_override(value: str, odd: str) -> None:
    found = brief(acs.override_unknown, line(of(), f"pcie_acs_override={value}"))
    expected = f"pcie_acs_override={value}: {odd} is not an option of pcie_acs_override"
    assert found == ([("warning", expected)] if odd else [])
