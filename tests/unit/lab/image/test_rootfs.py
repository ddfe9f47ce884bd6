"""A root of the user's own: what a layer hides, what is missing, and when it counts as another."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.lab.image import rootfs

NAMES = st.from_regex(r"[a-z][a-z.]{0,5}", fullmatch=True)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


def test_what_a_layer_hides() -> None:
    members = ["./", "usr/", "usr/.wh.bin", ".wh.etc", "var/.wh..wh..opq", ".wh..wh..opq", "usr/file.wh.x"]
    assert rootfs.hidden(members) == ("usr/bin", "etc", "var/*", "*")


@given(st.lists(PATHS, max_size=5), st.lists(PATHS, max_size=5))
def test_a_whiteout_hides_its_path_and_no_other_member_does(plain: list[str], hidden: list[str]) -> None:
    marks = [str(PurePosixPath(path).with_name(f".wh.{PurePosixPath(path).name}")) for path in hidden]
    assert rootfs.hidden([*plain, *marks]) == tuple(hidden)


@given(st.lists(NAMES | st.just(".."), min_size=1, max_size=4).filter(lambda parts: ".." in parts))
def test_a_path_that_leads_out_is_refused(parts: list[str]) -> None:
    with pytest.raises(BadInput, match="leads out"):
        rootfs.hidden(["/".join(parts)])
    with pytest.raises(BadInput, match="leads out"):
        rootfs.hidden([f"/{parts[0]}"])


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    assert "systemd" in rootfs.missing(tmp_path)
    assert "an ssh server" in rootfs.missing(tmp_path)
    for name in (
        *(
            "usr/lib/modules/6.12.1/kernel/x",
            "boot/vmlinuz-6.12.1",
            "usr/lib/systemd/systemd",
            "usr/bin/udevadm",
        ),
        *("usr/bin/kmod", "usr/lib/initcpio/busybox", "usr/bin/ip", "usr/bin/grub-mkconfig"),
        *("usr/lib/grub/x86_64-efi/x", "usr/bin/libvirtd", "usr/bin/qemu-system-x86_64"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert rootfs.missing(tmp_path) == ("an ssh server",)
    # A link that leads nowhere here, but does in the host.
    (tmp_path / "usr/bin/sshd").symlink_to("/opt/ssh/sshd")
    assert rootfs.missing(tmp_path) == ()


def test_the_name_changes_with_what_is_there(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/file").write_text("one")
    first = rootfs.name(tree)
    assert rootfs.name(tree) == first
    os.utime(tree / "etc/file", (1, 1))
    second = rootfs.name(tree)
    (tree / "etc/other").touch()
    assert len({first, second, rootfs.name(tree)}) == 3
    archive = tmp_path / "root.tar"
    archive.write_bytes(b"x")
    before = rootfs.name(archive)
    archive.write_bytes(b"xy")
    assert rootfs.name(archive) != before
    with pytest.raises(BadInput, match="nothing at"):
        rootfs.name(tmp_path / "none")
