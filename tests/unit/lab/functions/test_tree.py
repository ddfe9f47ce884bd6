"""The packages of the Linux in L2; mmdebstrap is played."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import LabFault
from pipeline.lab.debootstrap import Package
from pipeline.lab.functions import tree

RELEASE = "6.12.117+deb13-cloud-amd64"


def quiet(_: str) -> None:
    pass


@pytest.fixture
def unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Path]]:
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))

    def play(*images: str) -> list[Path]:
        made = []

        def unpacked(target: Path, **options: Any) -> tuple[Package, ...]:
            assert options["packages"] == tree.PACKAGES
            for folder in ("boot", "dev", "etc", "usr/bin"):
                (target / folder).mkdir(parents=True)
            for image in images:
                (target / "boot" / f"vmlinuz-{image}").write_bytes(b"kernel")
            (target / "usr/bin/busybox").write_bytes(b"busybox")
            made.append(target)
            return (Package(name="busybox-static", version="1.37", architecture="amd64", sha256="0" * 64),)

        monkeypatch.setattr(tree, "unpack", unpacked)
        return made

    return play


def test_the_tree_has_kernel_and_programs_and_is_made_once(unpack: Callable[..., list[Path]]) -> None:
    made = unpack(RELEASE)
    found = tree.tree(quiet)
    assert (found.kernel.read_bytes(), found.release) == (b"kernel", RELEASE)
    assert (found.root / "usr/bin/busybox").read_bytes() == b"busybox"
    assert found.packages == {"busybox-static": "1.37"}
    assert {path.name for path in found.root.iterdir()} == {"boot", "usr"}
    assert tree.tree(quiet) == found
    assert len(made) == 1


@pytest.mark.parametrize("images", [(), ("6.1", "6.12")])
def test_anything_but_one_kernel_is_the_lab_s_fault(
    unpack: Callable[..., list[Path]], images: tuple[str, ...]
) -> None:
    unpack(*images)
    with pytest.raises(LabFault, match=f"has {len(images)} kernels"):
        tree.tree(quiet)


def test_the_name_changes_with_the_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree.name()
    monkeypatch.setenv("DRYBOOT_DEBIAN_MIRROR", "http://localhost/debian")
    assert tree.name() != before
