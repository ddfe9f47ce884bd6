"""The store of releases; QEMU is played by a script that answers as one does."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest

from pipeline.errors import BadInput, LabFault
from pipeline.facts.qemu import packaged
from pipeline.lab import cache, releases, toolchain

SCRIPT = """#!/usr/bin/env python3
import json, sys
with open(__file__ + ".asked", "a") as log: log.write(" ".join(sys.argv[1:]) + "\\n")
if "--version" in sys.argv:
    print("QEMU emulator version VERSION (Debian 1:VERSION)"); sys.exit()
for line in sys.stdin:
    match json.loads(line)["execute"]:
        case "query-machines": answer = MACHINES
        case "qom-list-types": answer = [{"name": "e1000e"}]
        case _: answer = []
    print(json.dumps({"return": answer}))
"""
MACHINES = [{"name": "pc-q35-9.2", "alias": "q35"}, {"name": "pc-q35-5.2", "deprecated": True}]


def quiet(_: str) -> None:
    pass


def qemu(path: Path, version: str = "9.2.1", machines: object = MACHINES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = SCRIPT.replace("VERSION", version).replace("MACHINES", repr(machines))
    path.write_text(text)
    path.chmod(0o755)
    return path


def ovmf(prefix: Path, text: str = "code") -> None:
    folder = prefix / "share/qemu"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "edk2-x86_64-code.fd").write_text(text)
    (folder / "edk2-i386-vars.fd").write_text("variables")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no QEMU on the machine or to be had."""
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(toolchain, "installed", lambda: None)

    def hermetic(*_: object) -> toolchain.Qemu:
        raise LabFault("the mirror does not answer")

    monkeypatch.setattr(toolchain, "hermetic", hermetic)
    return tmp_path


def added(store: Path, name: str = "mine") -> releases.Release:
    qemu(store / "opt/bin/qemu-system-x86_64")
    ovmf(store / "opt")
    return releases.add(f"{name}=opt", base=store, progress=quiet)


def test_a_name_that_is_not_known_is_bad_input_with_the_known_ones(store: Path) -> None:
    added(store)
    with pytest.raises(BadInput) as caught:
        releases.find(["mine", "8.0"], quiet)
    assert "'8.0'" in caught.value.message
    for name in ("7.2", "10.0", "11.1", "mine", "installed"):
        assert name in caught.value.hint


def test_a_prefix_is_added_with_its_firmware_and_found_by_its_name(store: Path) -> None:
    release = added(store)
    assert releases.find(["mine", "mine"], quiet) == (release,)
    assert (release.name, release.qemu.version) == ("mine", "9.2")
    assert release.firmware.plain.code == store / "opt/share/qemu/edk2-x86_64-code.fd"
    assert [one.name for one in release.machines()] == ["pc-q35-5.2", "pc-q35-9.2"]
    assert release.has("e1000e")
    assert not release.has("vfio-user-pci")


def test_a_binary_is_added_with_the_firmware_of_its_prefix(store: Path) -> None:
    binary = qemu(store / "built/bin/qemu-new")
    ovmf(store / "built")
    release = releases.add(f"new={binary}", base=store, progress=quiet)
    assert release.qemu.argv == (str(binary),)
    assert release.firmware.plain.code == store / "built/share/qemu/edk2-x86_64-code.fd"


def test_a_whole_root_directory_is_started_through_its_own_loader(store: Path) -> None:
    tree = store / "tree"
    qemu(tree / "usr/bin/qemu-system-x86_64")
    ovmf(tree / "usr")
    loader = tree / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    loader.parent.mkdir(parents=True)
    loader.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    loader.chmod(0o755)
    release = releases.add("tree=tree", base=store, progress=quiet)
    assert release.qemu.argv[0] == str(loader)
    assert release.firmware.plain.code == tree / "usr/share/qemu/edk2-x86_64-code.fd"


def test_a_release_is_asked_once_and_again_when_it_is_another(store: Path) -> None:
    release = added(store)
    log = Path(f"{store}/opt/bin/qemu-system-x86_64.asked")

    def asked() -> int:
        return sum("-qmp" in line for line in log.read_text().splitlines())

    before = asked()
    assert before
    (again,) = releases.find(["mine"], quiet)
    again.machines()
    assert asked() == before
    qemu(store / "opt/bin/qemu-system-x86_64", "10.1.0", [{"name": "pc-q35-10.1"}])
    (changed,) = releases.find(["mine"], quiet)
    assert changed.digest != release.digest
    assert [one.name for one in changed.machines()] == ["pc-q35-10.1"]


def test_other_firmware_makes_it_another_release(store: Path) -> None:
    release = added(store)
    ovmf(store / "opt", "other code")
    (changed,) = releases.find(["mine"], quiet)
    assert changed.digest != release.digest


def test_what_was_kept_of_it_and_is_broken_is_asked_again(store: Path) -> None:
    release = added(store)
    (release.folder / "abilities.json").write_text('{"machines": 3}')
    assert len(release.machines()) == 2
    assert json.loads((release.folder / "abilities.json").read_text())["devices"] == ["e1000e"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mine", "not NAME=PATH"),
        ("=opt", "the name is to be"),
        ("mine=", "not NAME=PATH"),
        ("../x=opt", "the name is to be"),
        ("7.2=opt", "7.2 is a release already"),
        ("installed=opt", "installed is a release already"),
        ("mine=nowhere", "there is nothing at"),
        ("mine=empty", "has no qemu-system-x86_64"),
        ("mine=broken/bin/qemu-system-x86_64", "does not do"),
        ("mine=arm", "no versioned Q35 machine type"),
    ],
)
def test_what_is_no_release_is_bad_input_and_not_kept(store: Path, text: str, says: str) -> None:
    (store / "empty").mkdir()
    qemu(store / "broken/bin/qemu-system-x86_64").write_text("#!/bin/sh\nexit 3\n")
    qemu(store / "arm/bin/qemu-system-x86_64", machines=[{"name": "virt-9.2"}])
    qemu(store / "opt/bin/qemu-system-x86_64")
    for name in ("opt", "broken", "arm"):
        ovmf(store / name)
    with pytest.raises(BadInput, match=says):
        releases.add(text, base=store, progress=quiet)
    assert releases.names() == ("7.2", "10.0", "11.1", "installed")


def test_a_release_that_is_no_longer_there_is_bad_input_that_says_how_to_go_on(store: Path) -> None:
    added(store)
    shutil.rmtree(store / "opt")
    with pytest.raises(BadInput, match=r"mine at .*opt: .*no qemu-system-x86_64") as caught:
        releases.find(["mine"], quiet)
    assert "--remove mine" in caught.value.hint


def test_no_names_mean_the_installed_one(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="no QEMU is installed"):
        releases.find([], quiet)
    binary = qemu(store / "opt/bin/qemu-system-x86_64")
    ovmf(store / "opt")
    system = toolchain.Qemu(argv=(str(binary),), version="9.2", origin="the system")
    monkeypatch.setattr(toolchain, "installed", lambda: system)
    monkeypatch.setattr(releases.firmware, "find", lambda _, find=releases.firmware.find: find(store / "opt"))
    (found,) = releases.find([], quiet)
    assert (found.name, found.qemu) == ("installed", system)


def test_removing_forgets_it_and_what_was_derived(store: Path) -> None:
    release, other = added(store), added(store, "mine-too")
    releases.remove("mine")
    assert "mine" not in releases.names()
    assert not release.folder.exists()
    assert other.folder.exists()
    with pytest.raises(BadInput, match="no QEMU release 'mine'"):
        releases.remove("mine")
    with pytest.raises(BadInput, match="'installed'"):
        releases.remove("installed")


def test_a_known_release_is_prepared_again_after_it_was_removed(store: Path) -> None:
    one = packaged()[0]
    tree = cache.root() / "qemu" / toolchain.Recipe(suites=one.suites, packages=one.packages).name
    tree.mkdir(parents=True)
    releases.remove(one.name)
    assert not tree.exists()
    assert one.name in releases.names()


def test_nothing_is_removed_while_a_run_goes_on(store: Path) -> None:
    release = added(store)
    lock = cache.runs() / "1-abc/lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="a run goes on"):
            releases.remove("mine")
    releases.remove("mine")
    assert not release.folder.exists()


def test_the_list_prepares_nothing_and_says_why_one_is_not_there(store: Path) -> None:
    added(store)
    found = {one.name: one for one in releases.listing(quiet)}
    assert list(found) == ["7.2", "10.0", "11.1", "mine", "installed"]
    assert found["7.2"].why == "not prepared"
    assert found["mine"].release is not None
    assert "no QEMU is installed" in found["installed"].why


def test_a_store_that_cannot_be_read_is_a_lab_fault(store: Path) -> None:
    added(store)
    (cache.root() / "releases/added/mine.json").write_text("[]")
    with pytest.raises(LabFault, match="cannot read"):
        releases.names()
