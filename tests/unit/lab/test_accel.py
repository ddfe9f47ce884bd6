"""The accelerator follows from what was asked for and what works."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import LabFault
from pipeline.lab import accel
from pipeline.lab.accel import choose


@pytest.fixture
def nesting(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(accel, "nested", lambda: request.param)


def never() -> str:
    raise AssertionError("KVM was tried")


@pytest.mark.parametrize("nesting", [True, False], indirect=True)
@pytest.mark.usefixtures("nesting")
def test_tcg_is_taken_without_trying_kvm() -> None:
    found = choose("tcg", never)
    assert (found.l1, found.l2) == ("tcg", "tcg")
    assert "asked for" in found.reason


@pytest.mark.parametrize("nesting", [True], indirect=True)
@pytest.mark.usefixtures("nesting")
def test_without_kvm_everything_is_tcg_even_where_nesting_is_on() -> None:
    found = choose(None, lambda: "there is no /dev/kvm")
    assert (found.l1, found.l2) == ("tcg", "tcg")
    assert found.reason == "tcg: there is no /dev/kvm"


@pytest.mark.parametrize(("nesting", "l2"), [(True, "kvm"), (False, "tcg")], indirect=["nesting"])
@pytest.mark.parametrize("override", [None, "kvm"])
@pytest.mark.usefixtures("nesting")
def test_with_kvm_the_guest_has_it_where_nesting_is_on(override: str | None, l2: str) -> None:
    found = choose(override, lambda: "")
    assert (found.l1, found.l2) == ("kvm", l2)
    assert ("nesting is on" in found.reason) is (l2 == "kvm")


def test_kvm_that_was_asked_for_and_does_not_work_is_a_lab_fault_that_says_why() -> None:
    with pytest.raises(LabFault, match="there is no /dev/kvm") as caught:
        choose("kvm", lambda: "there is no /dev/kvm")
    assert "--accel kvm" in caught.value.hint


@pytest.mark.parametrize(
    ("module", "text", "answer"),
    [
        ("kvm_amd", "1\n", True),
        ("kvm_intel", "Y\n", True),
        ("kvm_intel", "N\n", False),
        ("kvm_amd", "0\n", False),
        (None, "", False),
    ],
)
def test_nesting_is_read_from_the_loaded_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str | None, text: str, answer: bool
) -> None:
    if module:
        folder = tmp_path / "sys" / "module" / module / "parameters"
        folder.mkdir(parents=True)
        (folder / "nested").write_text(text)
    monkeypatch.setattr(accel, "Path", lambda name: tmp_path / str(name).lstrip("/"))
    assert accel.nested() is answer
