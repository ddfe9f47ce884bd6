"""Releases of the store, as the matrix sees them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.facts.machines import Status
from pipeline.lab import releases
from pipeline.lab.abilities import MachineType
from pipeline.matrix.stock import chosen, stock


def test_machine_types_are_those_that_the_release_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    told = (
        MachineType(name="pc-q35-8.0", deprecated=True),
        MachineType(name="pc-q35-9.2", deprecated=False, alias="q35", compat={"mch.x": "1"}),
    )
    asked: list[Any] = []

    def find(names: Any, progress: Any) -> Any:
        asked.append(names)
        return (SimpleNamespace(name="mine", qemu=SimpleNamespace(version="11.1"), machines=lambda: told),)

    monkeypatch.setattr(releases, "find", find)
    (types,) = stock(["mine"], print)
    assert asked == [["mine"]]
    assert (types.qemu, types.number, types.compat("pc-q35-9.2")) == ("mine", "11.1", {"mch.x": "1"})
    assert types.stands_for("q35") == "pc-q35-9.2"
    release = chosen(types)
    assert (release.name, release.version) == ("mine", "11.1")
    assert release.available() == ("pc-q35-8.0", "pc-q35-9.2")
    assert [release.status(f"pc-q35-{version}") for version in ("8.0", "9.2", "12.0")] == [
        Status.DEPRECATED,
        Status.SUPPORTED,
        Status.UNKNOWN,
    ]
