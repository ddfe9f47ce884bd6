"""What goes into a unified kernel image, and how its making ends; ukify itself is played."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.lab.initcpio import unified
from pipeline.lab.initcpio.outcome import UnifiedImage
from pipeline.lab.initcpio.unified import Assembled

KERNEL = "/boot/vmlinuz-linux"
CMDLINE = "/etc/kernel/cmdline"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in {
        KERNEL: "kernel",
        CMDLINE: "# the owner's\nroot=UUID=1\nrw quiet\n",
        "/usr/lib/os-release": "ID=arch\nVERSION_ID=7\n",
    }.items():
        target = tmp_path / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path


def wanted(*options: tuple[str, str], preset: str = "linux-default") -> UnifiedImage:
    return UnifiedImage(
        path="/boot/arch.efi",
        preset=preset,
        release="6.12.1",
        kernel=KERNEL,
        options=options,
        initramfs=b"initramfs",
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """What ukify was called with."""
    calls: list[Sequence[str]] = []

    def play(root: Path, argv: Sequence[str]) -> Assembled:
        calls.append(argv)
        return Assembled(status=0, messages=())

    monkeypatch.setattr(unified, "_ukify", play)
    return calls


def part(root: Path, name: str) -> str:
    return (root / "run/dryboot-uki" / name).read_text()


def test_ukify_gets_what_mkinitcpio_gives_it(root: Path, asked: list[Sequence[str]]) -> None:
    done = unified.assemble(root, wanted())
    assert done.status == 0
    assert done.messages[-1] == "==> Unified kernel image generation successful"
    assert {f"--linux={KERNEL}", "--output=/boot/arch.efi", "--uname=6.12.1"} <= set(asked[0])
    assert part(root, "cmdline") == "root=UUID=1 rw quiet "
    assert part(root, "os-release") == "VERSION_ID=6.12.1\nID=arch\n"
    assert part(root, "initrd") == "initramfs"


def test_another_preset_is_named_in_the_version(root: Path, asked: list[Sequence[str]]) -> None:
    unified.assemble(root, wanted(preset="linux-without_passthrough"))
    assert part(root, "os-release").startswith("VERSION_ID=6.12.1~without_passthrough\n")


def test_a_file_that_is_given_counts_alone(root: Path, asked: list[Sequence[str]]) -> None:
    (root / "etc/cmdline.d").mkdir()
    (root / "etc/cmdline.d/own.conf").write_text("own=1\n")
    (root / "etc/other").write_text("other=1\n")
    unified.assemble(root, wanted())
    assert part(root, "cmdline") == "root=UUID=1 rw quiet own=1 "
    unified.assemble(root, wanted(("cmdline", "/etc/other")))
    assert part(root, "cmdline") == "other=1 "
    unified.assemble(root, wanted(("cmdline", "/etc/cmdline.d")))
    assert part(root, "cmdline") == "own=1 "


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ("/usr/lib/os-release", "Os-release file not found: '/etc/os-release'"),
        (KERNEL, f"Kernel image not found: '{KERNEL}'"),
        (CMDLINE, "no cmdline files were found"),
    ],
)
def test_what_is_missing_is_named(root: Path, asked: list[Sequence[str]], gone: str, says: str) -> None:
    (root / gone.lstrip("/")).unlink()
    done = unified.assemble(root, wanted())
    assert done.status == 1
    assert says in done.messages[-1]
    assert not asked


def test_the_error_of_ukify_is_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unified, "_ukify", lambda *_: Assembled(status=2, messages=("no stub",)))
    done = unified.assemble(root, wanted())
    assert done.status == 1
    assert done.messages[1:] == ("no stub", "==> ERROR: Unified kernel image generation FAILED")
