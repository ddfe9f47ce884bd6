"""Nothing outside the root is read, and nothing but plain files."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.files.tree import Directory, Files, Refused


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a secret beside it."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root" / "etc" / "file").write_text("inside")
    return tmp_path / "root"


def read(root: Path, path: str) -> bytes | None:
    tree = Directory(root)
    try:
        return tree.read(path)
    finally:
        tree.close()


def test_a_file_is_read(root: Path) -> None:
    assert read(root, "etc/file") == b"inside"
    assert read(root, "etc/other") is None
    assert read(root, "etc/file/below") is None


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("/etc/file", b"inside"),
        ("file", b"inside"),
        ("../../../../etc/file", b"inside"),
        ("./../etc/./file", b"inside"),
        ("../../secret", None),
        ("/secret", None),
        ("../../../../../../../../etc/hostname", None),
        ("/proc/self/environ", None),
    ],
)
def test_a_link_leads_where_chroot_would(root: Path, target: str, content: bytes | None) -> None:
    (root / "etc" / "link").symlink_to(target)
    assert read(root, "etc/link") == content


def test_a_link_to_the_secret_by_its_real_path_leads_nowhere(root: Path) -> None:
    (root / "etc" / "link").symlink_to(root.parent / "secret")
    assert read(root, "etc/link") is None


def test_a_linked_directory_is_followed_inside(root: Path) -> None:
    (root / "usr").mkdir()
    (root / "usr" / "lib").symlink_to("/etc")
    (root / "out").symlink_to(root.parent)
    assert read(root, "usr/lib/file") == b"inside"
    assert read(root, "out/secret") is None
    tree = Directory(root)
    assert tree.names("usr/lib") == ("file",)
    assert "secret" not in tree.names("out")
    tree.close()


def test_loops_end(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("/a")
    (root / "long").symlink_to("etc/" + "x/../" * 300 + "file")
    for path in ("a", "long", "a/file"):
        with pytest.raises(Refused, match="symbolic links"):
            read(root, path)


def test_what_is_no_plain_file_is_refused_at_once(root: Path) -> None:
    os.mkfifo(root / "etc" / "fifo")
    (root / "etc" / "to-fifo").symlink_to("fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(root / "etc" / "socket"))
    start = time.monotonic()
    for name in ("fifo", "to-fifo", "socket", ""):
        with pytest.raises(Refused, match="no plain file"):
            read(root, f"etc/{name}")
    assert time.monotonic() - start < 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_refused(root: Path) -> None:
    try:
        os.mknod(root / "zero", 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no devices may be made here")
    with pytest.raises(Refused, match="no plain file"):
        read(root, "zero")


def test_a_large_file_is_refused(root: Path) -> None:
    with (root / "large").open("wb") as file:
        file.truncate((1 << 20) + 1)
    with pytest.raises(Refused, match="more than 1 MiB"):
        read(root, "large")
    with pytest.raises(Refused, match="more than 1 KiB"):
        Files({"a": bytes(1025)}).read("a", limit=1024)


def test_no_descriptor_is_left_open(root: Path) -> None:
    (root / "a").symlink_to("a")
    before = len(list(Path("/proc/self/fd").iterdir()))
    tree = Directory(root)
    for path in ("etc/file", "etc/none", "etc", "a", "../x"):
        with suppress(Refused):
            tree.read(path)
        tree.names(path)
        tree.exists(path)
    tree.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_root_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "none", Path(__file__)):
        with pytest.raises(BadInput, match="root of a machine"):
            Directory(path)


def test_a_mapping_is_a_tree_as_a_directory_is(root: Path) -> None:
    (root / "etc" / "script").write_text("x")
    (root / "etc" / "script").chmod(0o755)
    tree: Directory | Files
    for tree in (Directory(root), Files({"etc/file": b"inside", "etc/script": b"x"})):
        assert tree.read("etc/file") == b"inside"
        assert tree.read("etc/none") is None
        assert tree.names("") == ("etc",)
        assert tree.names("etc") == ("file", "script")
        assert tree.names("etc/file") == ()
        assert tree.is_directory("etc")
        assert not tree.is_directory("etc/file")
        assert tree.exists("etc/file")
        assert tree.exists("etc")
        assert not tree.exists("usr")
        assert tree.executable("etc/script") in {True, None}
        assert tree.executable("etc/file") in {False, None}
