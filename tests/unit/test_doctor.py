from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipeline import doctor
from pipeline.errors import LabFault
from pipeline.lab.toolchain import Qemu


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without QEMU, caches, KVM proof or tools; nothing is started."""
    monkeypatch.setattr(doctor.toolchain, "installed", lambda: None)
    monkeypatch.setattr(doctor.toolchain, "hermetic_name", lambda: "none")
    monkeypatch.setattr(doctor.cache, "root", lambda: tmp_path / "cache/of/none")
    monkeypatch.setattr(doctor.debian, "cached", lambda: False)
    monkeypatch.setattr(doctor.accel, "nested", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda *_, **__: None)


def facts() -> dict[str, doctor.Fact]:
    return {fact.subject: fact for fact in doctor.examine()}


def qemu(version: str) -> Qemu:
    values = {"argv": ("/usr/bin/qemu-system-x86_64",), "version": version, "environment": {}}
    return Qemu(**{name: values.get(name) for name in Qemu.__dataclass_fields__})


@pytest.mark.usefixtures("bare")
def test_a_bare_machine_is_told_what_is_missing_and_what_that_means() -> None:
    found = facts()
    assert found["QEMU of the system"].found == "none"
    assert "verify uses its own" in found["QEMU of the system"].means
    assert "the first verify prepares it" in found["QEMU of the cache"].means
    assert "the first verify builds it" in found["L1 image"].means
    assert found["nested KVM"].found == "off"
    assert {found[tool].found for tool in doctor.TOOLS} == {"missing"}
    assert all(fact.subject and fact.found and fact.means for fact in found.values())


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("version", "means"), [("11.1.3", "used by verify"), ("10.1.0", "used by verify"), ("10.0.2", "too old")]
)
def test_the_system_s_qemu_is_used_where_it_is_new_enough(monkeypatch, version: str, means: str) -> None:
    monkeypatch.setattr(doctor.toolchain, "installed", lambda: qemu(version))
    fact = facts()["QEMU of the system"]
    assert fact.found == f"{version} (/usr/bin/qemu-system-x86_64)"
    assert fact.means.startswith(means)


@pytest.fixture
def ready(bare, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU and image are there, and so is /dev/kvm."""
    monkeypatch.setattr(doctor.toolchain, "installed", lambda: qemu("11.1"))
    monkeypatch.setattr(doctor.toolchain, "find", lambda _: qemu("11.1"))
    monkeypatch.setattr(doctor.debian, "cached", lambda: True)
    monkeypatch.setattr(doctor.debian, "image", lambda _: None)
    monkeypatch.setattr(doctor.Path, "exists", lambda _: True)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 9 << 30})())


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    ("problem", "found", "means"),
    [
        ("", "a kernel ran on it", "verify uses it"),
        ("KVM internal error", "KVM internal error", "verify runs under tcg: minutes instead of seconds"),
    ],
)
def test_kvm_is_what_running_a_kernel_says(monkeypatch, problem: str, found: str, means: str) -> None:
    monkeypatch.setattr(doctor.kernel_proof, "kvm_problem", lambda *_: problem)
    assert facts()["KVM"] == doctor.Fact("KVM", found, means)


@pytest.mark.usefixtures("ready")
def test_a_proof_that_fails_is_told_and_raises_nothing(monkeypatch) -> None:
    def fail(*_: object) -> str:
        raise LabFault("QEMU did not start")

    monkeypatch.setattr(doctor.kernel_proof, "kvm_problem", fail)
    assert facts()["KVM"].found == "QEMU did not start"


@pytest.mark.usefixtures("bare")
def test_little_memory_and_disk_are_told(monkeypatch) -> None:
    monkeypatch.setattr(doctor.os, "sysconf", lambda name: 4096 if "SIZE" in name else 1 << 20)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1 << 30})())
    found = facts()
    assert (found["memory"].found, found["memory"].means) == ("4 GiB", "verify takes up to 5 GiB")
    assert found["disk for the cache"].means == "verify needs about 4 GiB"


@pytest.mark.usefixtures("bare")
def test_what_was_found_is_shown_as_it_is(monkeypatch) -> None:
    monkeypatch.setattr(
        doctor, "examine", lambda: iter([doctor.Fact("KVM", "error [/x] [red]", "[bold] tcg")])
    )
    console = Console(file=io.StringIO(), width=100)
    doctor.show(console)
    assert "error [/x] [red]" in console.file.getvalue()
    assert "[bold] tcg" in console.file.getvalue()
