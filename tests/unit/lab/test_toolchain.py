"""Which QEMU is taken; QEMU is played by scripts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import BadInput, LabFault
from pipeline.lab import toolchain

Stub = Callable[[str], Path]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty search path, an empty cache and no DRYBOOT_QEMU."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DRYBOOT_QEMU", raising=False)
    return folder


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def says(version: str) -> str:
    return f"echo 'QEMU emulator version {version} (Debian 1:{version}+ds-1)'"


def quiet(_: str) -> None:
    pass


def no_hermetic(monkeypatch: pytest.MonkeyPatch) -> None:
    def hermetic(_: object) -> toolchain.Qemu:
        return toolchain.Qemu(argv=("hermetic",), version="11.1", origin="hermetic")

    monkeypatch.setattr(toolchain, "hermetic", hermetic)


@pytest.mark.parametrize("version", ["10.1", "10.1.0", "10.10.2", "11.0.50", "12.0"])
def test_a_chosen_qemu_that_is_new_enough_is_taken(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    chosen = script(tmp_path / "mine", says(version))
    monkeypatch.setenv("DRYBOOT_QEMU", str(chosen))
    found = toolchain.find(quiet)
    assert (found.argv, found.version) == ((str(chosen),), ".".join(version.split(".")[:2]))
    assert found.origin == "DRYBOOT_QEMU"


@pytest.mark.parametrize("version", ["10.0.8", "9.2", "7.2.1"])
def test_a_chosen_qemu_that_is_too_old_is_bad_input(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    script(path / "qemu-system-x86_64", says("11.1"))
    monkeypatch.setenv("DRYBOOT_QEMU", str(script(tmp_path / "mine", says(version))))
    with pytest.raises(BadInput, match=rf"{version[:3]}.*needs 10\.1"):
        toolchain.find(quiet)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo 'libfoo.so is missing' >&2; exit 127", r"libfoo\.so"),
        ("exit 3", "ended with 3"),
        ("echo hello", "ended with 0"),
        (f"{says('11.1')}; exit 1", "ended with 1"),
        (r"printf '\377\376'; exit 4", "ended with 4"),
    ],
)
def test_a_chosen_qemu_that_does_not_run_is_bad_input_that_says_why(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str
) -> None:
    monkeypatch.setenv("DRYBOOT_QEMU", str(script(tmp_path / "mine", text)))
    with pytest.raises(BadInput, match=rf"does not run: .*{why}"):
        toolchain.find(quiet)


def test_a_chosen_qemu_that_is_not_there_is_bad_input(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRYBOOT_QEMU", "/no/such/qemu")
    with pytest.raises(BadInput, match="/no/such/qemu does not run"):
        toolchain.find(quiet)


def test_the_systems_qemu_is_taken_when_it_is_new_enough(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_hermetic(monkeypatch)
    stub = script(path / "qemu-system-x86_64", says("10.2.1"))
    found = toolchain.find(quiet)
    assert (found.argv, found.version) == ((str(stub),), "10.2")


@pytest.mark.parametrize("text", [says("10.0.8"), "exit 1", None])
def test_otherwise_the_hermetic_one_is_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    no_hermetic(monkeypatch)
    if text:
        script(path / "qemu-system-x86_64", text)
    assert toolchain.find(quiet).origin == "hermetic"


def test_an_old_qemu_is_installed_all_the_same(path: Path) -> None:
    assert toolchain.installed() is None
    script(path / "qemu-system-x86_64", says("7.2.1"))
    found = toolchain.installed()
    assert found is not None
    assert found.version == "7.2"


@pytest.fixture
def tree(path: Path) -> Path:
    """A hermetic QEMU as it lies in the cache."""
    found = toolchain.cache.root() / "qemu" / toolchain.hermetic_name()
    files = ("usr/bin/qemu-system-x86_64", "usr/share/efi-shell-x64/shellx64.efi")
    digests = {}
    for name in files:
        file = found / "root" / name
        file.parent.mkdir(parents=True)
        file.write_text(name)
        digests[name] = hashlib.sha256(name.encode()).hexdigest()
    loader = found / "root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    (loader.parent / "qemu").mkdir(parents=True)
    loader.touch()
    (found / "lock.json").write_text(json.dumps({"version": "11.1", "files": digests, "packages": []}))
    return found


def test_a_prepared_hermetic_qemu_is_started_by_its_own_loader(tree: Path) -> None:
    found = toolchain.hermetic(quiet)
    assert found.version == "11.1"
    assert found.argv[0].startswith(str(tree))
    assert found.argv[0].endswith("ld-linux-x86-64.so.2")
    assert found.merged_environment()["QEMU_MODULE_DIR"].startswith(str(tree))
    assert toolchain.efi_shell(quiet) == tree / "root/usr/share/efi-shell-x64/shellx64.efi"


@pytest.mark.parametrize("what", ["changed", "removed"])
def test_a_hermetic_qemu_that_was_tampered_with_is_a_lab_fault(tree: Path, what: str) -> None:
    binary = tree / "root/usr/bin/qemu-system-x86_64"
    if what == "changed":
        binary.write_text("other")
    else:
        binary.unlink()
    with pytest.raises(LabFault, match="qemu-system-x86_64"):
        toolchain.hermetic(quiet)


def test_another_mirror_makes_another_hermetic_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    before = toolchain.hermetic_name()
    monkeypatch.setenv("DRYBOOT_DEBIAN_MIRROR", "http://mirror.invalid")
    assert toolchain.hermetic_name() != before
