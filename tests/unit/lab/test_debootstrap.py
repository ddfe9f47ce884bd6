"""mmdebstrap, played by a script: what it is asked for, and what becomes of its messages."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.errors import LabFault
from pipeline.lab import debootstrap
from pipeline.lab.debootstrap import (
    Package,
    Unreachable,
    lock_hooks,
    mmdebstrap,
    read_lock,
    unpack,
    write_lock,
)

Stub = Callable[[str], Path]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Puts a mmdebstrap of the given shell script on the path; each start leaves a line in `starts`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mmdebstrap.retry, "sleep", lambda _: None)  # type: ignore[attr-defined]

    def write(script: str) -> Path:
        path = folder / "mmdebstrap"
        path.write_text(f"#!/bin/sh\necho start >> {tmp_path}/starts\n{script}\n")
        path.chmod(0o755)
        return tmp_path / "starts"

    return write


def run(tmp_path: Path, progress: Callable[[str], None] = lambda _: None) -> None:
    mmdebstrap(
        tmp_path / "root",
        suites=("trixie", "trixie-backports"),
        packages=("qemu-utils", "ovmf"),
        variant="extract",
        release="trixie-backports",
        hooks=("--extract-hook=true",),
        progress=progress,
    )


def test_it_is_asked_for_the_packages_of_the_suites(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRYBOOT_DEBIAN_MIRROR", "http://mirror.invalid/debian")
    stub(f'printf "%s\\n" "$@" "INITRD=$INITRD" > {tmp_path}/said')
    run(tmp_path)
    said = (tmp_path / "said").read_text().splitlines()
    assert {"--variant=extract", "--include=qemu-utils,ovmf", "--extract-hook=true", "INITRD=No"} <= set(said)
    assert '--aptopt=APT::Default-Release "trixie-backports"' in said
    place = said.index(str(tmp_path / "root"))
    assert said[place - 1] == "trixie"
    for line, suite in zip(said[place + 1 :], ("trixie", "trixie-backports"), strict=False):
        assert line.startswith("deb ")
        assert line.endswith(f"http://mirror.invalid/debian {suite} main")


def test_its_steps_are_told_as_they_come(stub: Stub, tmp_path: Path) -> None:
    stub("echo 'I: automatically chosen mode: root' >&2; echo 'I: installing packages...' >&2")
    told: list[str] = []
    run(tmp_path, told.append)
    assert told == ["installing packages..."]


def test_a_failure_is_a_lab_fault_with_its_errors_only(stub: Stub, tmp_path: Path) -> None:
    starts = stub("echo 'I: downloading' >&2; echo 'E: no such package' >&2; echo noise >&2; exit 25")
    with pytest.raises(LabFault, match=r"ended with 25:\nE: no such package\n  hint") as caught:
        run(tmp_path)
    assert not isinstance(caught.value, Unreachable)
    assert starts.read_text().count("start") == 1
    log = Path(caught.value.hint.split()[-1])
    assert "noise" in log.read_text()


def test_a_failure_without_errors_shows_its_last_lines(stub: Stub, tmp_path: Path) -> None:
    stub("for n in $(seq 20); do echo line $n >&2; done; exit 1")
    with pytest.raises(LabFault, match=r"line 11\n(.*\n)*line 20") as caught:
        run(tmp_path)
    assert "line 10\n" not in caught.value.message


@pytest.mark.parametrize(
    "message",
    [
        "E: Could not resolve 'deb.invalid'",
        "E: Could not connect to deb.invalid:80",
        "W: Temporary failure resolving 'deb.invalid'",
        "Err:1 http://deb.invalid trixie: connection timed out",
        "E: Failed to fetch http://deb.invalid/x.deb",
    ],
)
def test_a_mirror_that_does_not_answer_is_tried_three_times(stub: Stub, tmp_path: Path, message: str) -> None:
    starts = stub(f'echo "{message}" >&2; exit 1')
    with pytest.raises(Unreachable):
        run(tmp_path)
    assert starts.read_text().count("start") == 3


def test_a_mirror_that_answers_at_last_is_enough(stub: Stub, tmp_path: Path) -> None:
    starts = stub(f'[ $(wc -l < {tmp_path}/starts) = 3 ] || {{ echo "E: Failed to fetch" >&2; exit 1; }}')
    run(tmp_path)
    assert starts.read_text().count("start") == 3


def test_messages_that_are_not_text_are_no_trouble(stub: Stub, tmp_path: Path) -> None:
    stub(r"printf 'E: \377\376\n' >&2; exit 1")
    with pytest.raises(LabFault, match="ended with 1"):
        run(tmp_path)


def test_an_interruption_ends_it(stub: Stub, tmp_path: Path) -> None:
    own = f"{tmp_path}/own-sleep"
    shutil.copyfile(shutil.which("sleep") or "sleep", own)
    Path(own).chmod(0o755)
    stub(f"echo 'I: downloading' >&2; exec {own} 600")

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupt)
    deadline = time.monotonic() + 10
    while running(own):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def running(program: str) -> bool:
    return any(program in (process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))


@pytest.mark.skipif(os.geteuid() != 0, reason="without root mmdebstrap makes its own namespaces")
def test_mounts_and_scratch_space_are_the_run_s(stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    stub(f"mount -t tmpfs own-mount {tmp_path}/mounted; echo $$ $TMPDIR > {tmp_path}/said")
    run(tmp_path)
    assert (tmp_path / "said").read_text() == f"1 {tmp_path}\n"
    assert "own-mount" not in Path("/proc/self/mountinfo").read_text()


def test_no_setpriv_is_a_lab_fault(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub("exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(LabFault, match="cannot start"):
        run(tmp_path)


def test_the_lock_is_read_sorted_and_without_doubles(tmp_path: Path) -> None:
    one = "Package: zlib\nVersion: 1:1.3-1\nArchitecture: amd64\nSHA256: aa\n\n"
    two = "Package: base\nVersion: 2~rc1+b1\nArchitecture: all\nSHA256: bb\n\n"
    (tmp_path / "lock").write_text(one + two + one)
    assert read_lock(tmp_path / "lock") == (
        Package(name="base", version="2~rc1+b1", architecture="all", sha256="bb"),
        Package(name="zlib", version="1:1.3-1", architecture="amd64", sha256="aa"),
    )


@pytest.mark.parametrize("text", ["", "\n\n", "Package: base\nVersion: 2\nArchitecture: all\n", "noise"])
def test_a_lock_with_something_missing_is_a_lab_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    with pytest.raises(LabFault, match="recorded"):
        read_lock(tmp_path / "lock")


def test_the_hooks_write_to_the_lock(tmp_path: Path) -> None:
    hooks = lock_hooks(tmp_path / "lock")
    assert [hook.partition("=")[0] for hook in hooks] == ["--extract-hook", "--customize-hook"]
    assert all(hook.endswith(f">> '{tmp_path / 'lock'}'") for hook in hooks)


def test_the_mirror_is_debians_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRYBOOT_DEBIAN_MIRROR", raising=False)
    assert debootstrap.mirror() == debootstrap.MIRROR
    monkeypatch.setenv("DRYBOOT_DEBIAN_MIRROR", "http://mirror.invalid")
    assert debootstrap.mirror() == "http://mirror.invalid"


def test_what_was_unpacked_is_told_and_locked(stub: Stub, tmp_path: Path) -> None:
    """The hook that lists packages is played; nothing of it is left beside the tree."""
    fields = "Package: ovmf\nVersion: 1\nArchitecture: all\nSHA256: " + "0" * 64
    listed = tmp_path / "root.packages"
    stub(f'printf "%s\\n" "$@" > {tmp_path}/said; echo "{fields}" > {listed}; mkdir {tmp_path}/root')
    found = unpack(tmp_path / "root", suites=("trixie",), packages=("ovmf",), progress=lambda _: None)
    assert found == (Package(name="ovmf", version="1", architecture="all", sha256="0" * 64),)
    said = (tmp_path / "said").read_text().splitlines()
    assert {"--variant=extract", *lock_hooks(listed)} <= set(said)
    assert not listed.exists()
    write_lock(tmp_path / "root", found, release="6.12")
    locked = json.loads((tmp_path / "root/lock.json").read_text())
    assert locked == {"release": "6.12", "packages": [["ovmf", "1", "all", "0" * 64]]}
