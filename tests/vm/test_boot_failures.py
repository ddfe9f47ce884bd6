"""A host that does not come up: each cause is named, with the end of the console, and nothing hangs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import verify as run
from pipeline.lab import apply
from pipeline.lab.overlay import Put
from pipeline.plan import resolve
from pipeline.render import Inputs, render
from pipeline.scenario import read
from pipeline.verdict import Listener, Outcome

pytestmark = pytest.mark.vm

CHECKOUT = Path(__file__).resolve().parent.parent.parent
INVOKE = Path(sys.executable).with_name("invoke")
SECONDS = 90
BOOTS = "boots[/boot/initramfs-6.12-x86_64.img]"


def failed(output: Path, *options: str) -> dict[str, Any]:
    """The failed checks of a run of rx560, by their ids."""
    argv = [str(INVOKE), "verify", "--scenario", "rx560", "--no-lint", "--output", str(output), *options]
    started = time.monotonic()
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    assert time.monotonic() - started < SECONDS
    verdict = json.loads((output / "report/verdict.json").read_text())
    return {check["id"]: check for check in verdict["checks"] if check["outcome"] == "failed"}


def test_a_grub_file_that_no_shell_reads(tmp_path: Path) -> None:
    files = tmp_path / "files"
    build = [str(INVOKE), "build", "--scenario", "rx560", "--output", str(files)]
    subprocess.run(build, cwd=CHECKOUT, capture_output=True, check=True)
    grub = files / "etc/default/grub"
    text = grub.read_text()
    grub.write_text(text.replace('GRUB_DISTRIBUTOR="Manjaro"', 'GRUB_DISTRIBUTOR="Manjaro'))
    found = failed(tmp_path / "out", "--files", str(files))
    assert set(found) == {"boot-loader[/boot/grub/grub.cfg]"}
    observed = found["boot-loader[/boot/grub/grub.cfg]"]["observed"]
    assert observed.startswith("exit status 2: ")
    assert "/etc/default/grub: Syntax error: Unterminated quoted string" in observed


@pytest.mark.parametrize(
    ("setting", "cause"),
    [
        pytest.param(
            "host.initramfs.hooks=[base, systemd, modconf, kms]",
            "no root device /dev/disk/by-uuid/",
            id="the-disk-s-module-is-missing",
        ),
        pytest.param(
            'host.kernel_parameters=[quiet, "root=UUID=1234-5678"]',
            "no root device /dev/disk/by-uuid/1234-5678",
            id="no-such-root",
        ),
    ],
)
def test_an_initramfs_that_does_not_find_its_root(tmp_path: Path, setting: str, cause: str) -> None:
    found = failed(tmp_path, "--set", setting)
    assert set(found) == {BOOTS}
    assert found[BOOTS]["observed"].startswith(f"the initramfs gave up: {cause}")
    assert "the end of its console:" in found[BOOTS]["observed"]
    assert "Loading initial ramdisk" in found[BOOTS]["observed"]


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        pytest.param(
            ("initrd\t/boot/initramfs", "initrd\t/boot/initrd"), "not found", id="no-such-initramfs"
        ),
        pytest.param(("linux\t/boot/vmlinuz", "linux\t/boot/vmlinux"), "not found", id="no-such-kernel"),
    ],
)
def test_a_wrong_path_in_grub_cfg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: tuple[str, str], cause: str
) -> None:
    """What grub-mkconfig wrote is spoilt afterwards, as by an owner's own hand."""
    real = apply.apply

    def spoilt(*arguments: Any, **options: Any) -> apply.Applied:
        done = real(*arguments, **options)
        source = done.files["/boot/grub/grub.cfg"].source
        assert source is not None
        text = source.read_text()
        assert wrong[0] in text
        cfg = Put(data=b"", source=tmp_path / "grub.cfg")
        (tmp_path / "grub.cfg").write_text(text.replace(*wrong))
        return replace(done, files={**done.files, "/boot/grub/grub.cfg": cfg})

    monkeypatch.setattr(run.apply, "apply", spoilt)
    plan = resolve(read("rx560"))
    started = time.monotonic()
    verdict = run.verify(
        plan,
        render(plan, inputs=Inputs(scenario=b"")),
        findings=(),
        accelerator=None,
        logs=tmp_path / "logs",
        listener=Listener(),
    )
    assert time.monotonic() - started < SECONDS
    assert verdict.fault == ""
    (one,) = [check for check in verdict.checks if check.outcome is Outcome.FAILED]
    assert one.expectation.id == BOOTS
    assert isinstance(one.observed, str)
    assert "/boot/" in one.observed.splitlines()[0]
    assert cause in one.observed.splitlines()[0]
