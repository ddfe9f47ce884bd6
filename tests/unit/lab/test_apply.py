"""What is applied, and what of it is kept; the sandbox is played."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.lab import apply
from pipeline.lab.apply import GRUB_DROP_IN, LAB_PARAMETERS, Applied
from pipeline.lab.board import lay_out
from pipeline.lab.image import HostImage
from pipeline.lab.overlay import Put
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.sandbox import Step, StepDone, Worked
from pipeline.plan import resolve
from pipeline.scenario import read

PLAN = resolve(read("rx560"))
SAID = "==> Building image\nstand-in: not the real one\n"


class Sandbox:
    """Notes what it is asked for; its tools write one file and say SAID."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, Put], tuple[Step, ...], tuple[str, ...]]] = []

    def work(
        self,
        tree: Path,
        files: dict[str, Put],
        steps: tuple[Step, ...],
        *,
        uuid: str,
        run: RunDirectory,
        removed: tuple[str, ...],
        modaliases: tuple[str, ...],
    ) -> Worked:
        self.asked.append((files, steps, removed))
        changed = run.path / f"changed{len(self.asked)}"
        (changed / "boot").mkdir(parents=True)
        (changed / "boot/initramfs.img").write_text(str(len(self.asked)))
        outcomes = (StepDone(status=1, output=SAID), StepDone(status=0, output="done\n"))
        return Worked(outcomes=outcomes, changed=changed, removed=("/etc/gone",))


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sandbox:
    played = Sandbox()
    monkeypatch.setattr(apply.sandbox, "work", played.work)
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))
    return played


@pytest.fixture
def image(tmp_path: Path) -> HostImage:
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    paths = dict.fromkeys(("root", "tree", "base", "tiny", "grub"), tmp_path)
    return HostImage(
        name="image",
        kernel=tmp_path / "vmlinuz",
        release="6.12.1",
        distribution="Debian 13",
        packages={},
        **paths,
    )


def applied(image: HostImage, tmp_path: Path, grub: bytes = b"GRUB_TIMEOUT=5\n") -> Applied:
    run = tmp_path / f"run{time.monotonic_ns()}"
    run.mkdir()
    files = {"etc/default/grub": grub}
    return apply.apply(PLAN, files, board=lay_out(PLAN), image=image, run=RunDirectory(run))


def test_the_tools_see_the_files_in_place_and_run_in_their_order(
    sandbox: Sandbox, image: HostImage, tmp_path: Path
) -> None:
    found = applied(image, tmp_path)
    ((files, steps, removed),) = sandbox.asked
    assert files["/etc/default/grub"].data == b"GRUB_TIMEOUT=5\n"
    assert files["/boot/vmlinuz-6.12-x86_64"].data == b"kernel"
    assert "/boot/vmlinuz-6.12.1" in removed
    assert steps[0].outside
    assert steps[0].argv[:3] == (sys.executable, "-m", "pipeline.lab.initcpio")
    assert steps[0].argv[-1] == "-P"
    assert steps[1] == Step(argv=("grub-mkconfig", "-o", "/boot/grub/grub.cfg"))
    assert (found.initramfs.status, found.loader.status) == (1, 0)
    assert found.stand_ins == ("not the real one",)
    assert found.removed == ("/etc/gone",)


def test_nothing_secret_is_kept(sandbox: Sandbox, image: HostImage, tmp_path: Path) -> None:
    applied(image, tmp_path)
    assert not [path for path in sandbox.asked[0][0] if "ssh_host" in path or path.startswith("/root/.ssh")]


def test_the_same_is_applied_once(sandbox: Sandbox, image: HostImage, tmp_path: Path) -> None:
    first, again = applied(image, tmp_path), applied(image, tmp_path)
    assert again == first
    assert len(sandbox.asked) == 1
    source = again.files["/boot/initramfs.img"].source
    assert source is not None
    assert source.read_text() == "1"


def test_a_change_is_applied_anew(
    sandbox: Sandbox, image: HostImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(image, tmp_path)
    applied(image, tmp_path, grub=b"GRUB_TIMEOUT=0\n")
    monkeypatch.setattr(apply, "_code", lambda: [b"another substitute"])
    applied(image, tmp_path)
    assert len(sandbox.asked) == 3


def test_what_was_applied_long_ago_is_forgotten_what_may_be_in_use_is_not(
    sandbox: Sandbox, image: HostImage, tmp_path: Path
) -> None:
    for number in range(10):
        applied(image, tmp_path, grub=b"%d" % number)
    folder = tmp_path / "cache/applied"
    entries = sorted(
        (path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
    )
    assert len(entries) == 10
    for path in entries[:5]:
        os.utime(path, (0, path.stat().st_mtime_ns / 1e12))
    applied(image, tmp_path, grub=b"9")
    assert [path for path in entries if path.exists()] == entries[2:]


def test_grub_s_parameters_are_the_owner_s_with_the_lab_s(tmp_path: Path) -> None:
    (tmp_path / "grub").write_text('GRUB_CMDLINE_LINUX="quiet a=b"\nGRUB_TIMEOUT=5\n')
    (tmp_path / "cfg").write_bytes(apply._grub_drop_in())
    script = f'. {tmp_path}/grub; . {tmp_path}/cfg; printf "%s|%s" "$GRUB_CMDLINE_LINUX" "$GRUB_TIMEOUT"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == f"quiet a=b {LAB_PARAMETERS}|0"
    assert GRUB_DROP_IN.startswith("/etc/default/grub.d/")
    assert GRUB_DROP_IN.endswith(".cfg")


def test_a_mkinitcpio_of_the_host_s_own_runs_in_its_place(
    sandbox: Sandbox, image: HostImage, tmp_path: Path
) -> None:
    applied(replace(image, generators=frozenset({"mkinitcpio"})), tmp_path)
    ((_, steps, _),) = sandbox.asked
    assert steps[0] == Step(argv=("mkinitcpio", "-P"))


def test_a_program_that_lost_its_bit_has_none_on_the_host(
    sandbox: Sandbox, image: HostImage, tmp_path: Path
) -> None:
    hook = "etc/libvirt/hooks/qemu"
    for number, modes in enumerate(({}, {hook: 0o644})):
        run = tmp_path / f"run{number}"
        run.mkdir()
        apply.apply(PLAN, {hook: b""}, board=lay_out(PLAN), image=image, run=RunDirectory(run), modes=modes)
    assert [files[f"/{hook}"].mode for files, *_ in sandbox.asked] == [0o755, 0o644]


def test_a_bundle_without_mkinitcpio_conf_leaves_the_distribution_s(
    sandbox: Sandbox, image: HostImage, tmp_path: Path
) -> None:
    applied(image, tmp_path)
    config = sandbox.asked[0][0]["/etc/mkinitcpio.conf"].data.decode()
    assert "MODULES=()\n" in config
    assert f"HOOKS=({' '.join(PLAN.host.distribution.hooks)})\n" in config
    (image.tree / "etc").mkdir()
    (image.tree / "etc/mkinitcpio.conf").touch()
    applied(replace(image, own="manjaro", generators=frozenset({"mkinitcpio"})), tmp_path)
    assert "/etc/mkinitcpio.conf" not in sandbox.asked[1][0]
