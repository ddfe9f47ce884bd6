"""FAT images, read back with mtools."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.errors import LabFault
from pipeline.lab import fat

MIB = 1 << 20


def text(image: Path, name: str) -> bytes:
    return subprocess.run(["mtype", "-i", str(image), f"::{name}"], capture_output=True, check=True).stdout


@pytest.mark.parametrize("size", [MIB, 4 * MIB, 100 * MIB])
def test_files_and_their_folders_are_in_it(tmp_path: Path, size: int) -> None:
    (tmp_path / "own").write_bytes(b"contents")
    image = tmp_path / "image"
    fat.make(image, {"EFI/BOOT/BOOTX64.EFI": tmp_path / "own", "startup.nsh": tmp_path / "own"}, size=size)
    assert image.stat().st_size == size
    assert text(image, "EFI/BOOT/BOOTX64.EFI") == text(image, "startup.nsh") == b"contents"


def test_the_same_files_give_the_same_file_system(tmp_path: Path) -> None:
    fat.make(tmp_path / "one", {}, size=MIB)
    fat.make(tmp_path / "two", {}, size=MIB)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_does_not_fit_is_a_lab_fault(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(2 * MIB))
    with pytest.raises(LabFault, match=r"mcopy: .*full"):
        fat.make(tmp_path / "image", {"large": tmp_path / "large"}, size=MIB)


def test_no_mtools_is_a_lab_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabFault, match="cannot start mformat") as caught:
        fat.make(tmp_path / "image", {}, size=MIB)
    assert caught.value.hint == "install mtools"
