"""The rule of machine types gives the lists that QEMU prints."""

import pytest

from pipeline.facts import machines, table
from pipeline.facts.machines import Status

ALL = table("machines")["q35"]["versions"]


def between(first: str, last: str) -> list[str]:
    return [f"pc-q35-{version}" for version in ALL[ALL.index(first) : ALL.index(last) + 1]]


def having(status: Status, qemu: str) -> list[str]:
    names = [f"pc-q35-{version}" for version in ALL]
    return [name for name in names if machines.status(name, qemu=qemu) is status]


@pytest.mark.parametrize(
    ("qemu", "available", "deprecated"),
    [
        ("4.1", ("2.4", "4.1"), None),
        ("7.2", ("2.4", "7.2"), None),
        ("10.0", ("2.4", "10.0"), ("2.4", "7.0")),
        ("11.1", ("5.2", "11.1"), ("5.2", "8.1")),
    ],
)
def test_measured_lists(qemu: str, available: tuple[str, str], deprecated: tuple[str, str] | None) -> None:
    assert list(machines.available(qemu)) == between(*available)
    assert having(Status.DEPRECATED, qemu) == (between(*deprecated) if deprecated else [])


@pytest.mark.parametrize(
    ("machine", "qemu", "status"),
    [
        ("pc-q35-3.1", "11.1", Status.REMOVED),
        ("pc-q35-3.1", "10.0", Status.DEPRECATED),
        ("pc-q35-3.1", "4.1", Status.SUPPORTED),
        ("pc-q35-9.2", "11.1", Status.SUPPORTED),
        ("pc-q35-11.1", "10.0", Status.NOT_YET),
        ("pc-q35-9.7", "11.1", Status.UNKNOWN),
        ("q35", "11.1", Status.UNKNOWN),
        ("pc-i440fx-9.2", "11.1", Status.UNKNOWN),
        ("q35-9.2", "11.1", Status.UNKNOWN),
    ],
)
def test_status(machine: str, qemu: str, status: Status) -> None:
    assert machines.status(machine, qemu=qemu) is status


@pytest.mark.parametrize(
    ("machine", "qemu", "nearest"),
    [
        ("pc-q35-3.1", "11.1", "pc-q35-8.2"),
        ("pc-q35-9.7", "11.1", "pc-q35-10.0"),
        ("pc-q35-11.1", "10.0", "pc-q35-10.0"),
        ("pc-q35-11.1", "7.2", "pc-q35-7.2"),
        ("q35", "10.0", "pc-q35-10.0"),
        ("pc-q35-3.1", "1.0", None),
    ],
)
def test_nearest(machine: str, qemu: str, nearest: str | None) -> None:
    assert machines.nearest(machine, qemu=qemu) == nearest


def test_notes() -> None:
    note = machines.note("pc-q35-3.1")
    assert note is not None
    assert "interrupt controller" in note.text
    assert machines.note("pc-q35-9.2") is None
    assert machines.newest_qemu() == "11.1"


def test_machine_types_are_ordered_by_their_versions() -> None:
    names = ["pc-q35-10.0", "q35", "pc-q35-9.2", "pc-q35-4.0.1", "pc-q35-4.0"]
    assert sorted(names, key=machines.order) == [
        "q35",
        "pc-q35-4.0",
        "pc-q35-4.0.1",
        "pc-q35-9.2",
        "pc-q35-10.0",
    ]
