"""Files in a real ext4 image, looked at with debugfs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from pipeline.errors import LabFault
from pipeline.lab.overlay import Put, copy_sparse, identify, of_tree, put


def tool(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or name


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin:/sbin")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "usr" / "lib").mkdir(parents=True)
    (tree / "lib").symlink_to("usr/lib")
    (tree / "etc").mkdir()
    (tree / "etc" / "old").write_text("an old and longer text")
    (tree / "etc" / "old").chmod(0o600)
    (tree / "etc" / "link").symlink_to("old")
    found = tmp_path / "image"
    with found.open("wb") as stream:
        stream.truncate(2 << 20)
    subprocess.run(
        [tool("mke2fs"), "-q", "-t", "ext4", "-d", str(tree), str(found)], check=True, capture_output=True
    )
    return found


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def debugfs(image: Path, command: str) -> str:
    done = subprocess.run(
        [tool("debugfs"), "-R", command, str(image)], capture_output=True, text=True, check=True
    )
    return done.stdout


def is_sound(image: Path) -> bool:
    done = subprocess.run([tool("e2fsck"), "-fn", str(image)], capture_output=True, check=False)
    return done.returncode == 0


def test_files_are_written_with_their_directories(image: Path, scratch: Path) -> None:
    put(image, {"/opt/a/b/file": Put(data=b"one\n"), "/opt/a/c": Put(data=b"two\n")}, scratch=scratch)
    assert debugfs(image, "cat /opt/a/b/file") == "one\n"
    assert debugfs(image, "cat /opt/a/c") == "two\n"
    assert is_sound(image)


def test_what_is_there_is_replaced(image: Path, scratch: Path) -> None:
    put(image, {"/etc/old": Put(data=b"new"), "/etc/link": Put(data=b"a file")}, scratch=scratch)
    assert debugfs(image, "cat /etc/old") == "new"
    assert debugfs(image, "cat /etc/link") == "a file"
    assert is_sound(image)


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755, 0o4755])
def test_mode_and_owner_are_set(image: Path, scratch: Path, mode: int) -> None:
    put(image, {"/etc/file": Put(data=b"x", mode=mode)}, scratch=scratch)
    said = debugfs(image, "stat /etc/file").split()
    assert said[said.index("Type:") + 1] == "regular"
    assert int(said[said.index("Mode:") + 1], 8) == mode
    assert said[said.index("User:") + 1] == said[said.index("Group:") + 1] == "0"


def test_links_are_made_and_replaced(image: Path, scratch: Path) -> None:
    put(
        image,
        {"/etc/link": Put(link="../usr/lib/new"), "/etc/wants/unit": Put(link="/etc/old")},
        scratch=scratch,
    )
    assert 'Fast link dest: "../usr/lib/new"' in debugfs(image, "stat /etc/link")
    assert 'Fast link dest: "/etc/old"' in debugfs(image, "stat /etc/wants/unit")
    assert is_sound(image)


def test_putting_twice_is_the_same(image: Path, scratch: Path) -> None:
    files = {"/opt/file": Put(data=b"x"), "/opt/link": Put(link="file")}
    put(image, files, scratch=scratch)
    put(image, files, scratch=scratch)
    assert debugfs(image, "cat /opt/file") == "x"
    assert is_sound(image)


def test_any_bytes_are_written_as_they_are(image: Path, scratch: Path, tmp_path: Path) -> None:
    data = bytes(range(256)) * 300
    put(image, {"/etc/bytes": Put(data=data)}, scratch=scratch)
    debugfs(image, f"dump /etc/bytes {tmp_path / 'back'}")
    assert (tmp_path / "back").read_bytes() == data


def test_a_path_with_spaces_is_written(image: Path, scratch: Path) -> None:
    files = {"/srv/my images/Windows 10 (64).iso": Put(data=b"iso"), "/srv/my images/link": Put(link="a b")}
    put(image, files, scratch=scratch)
    put(image, files, scratch=scratch)
    assert debugfs(image, 'cat "/srv/my images/Windows 10 (64).iso"') == "iso"
    assert is_sound(image)


@pytest.mark.parametrize(
    "path",
    ["etc/relative", "", '/etc/"a', "/etc/a\nrm", "/etc/a\tb", "/etc/a\rb", "/etc/a\\b", "/a\0b"],
)
def test_a_path_that_debugfs_would_misread_is_refused(image: Path, scratch: Path, path: str) -> None:
    before = image.read_bytes()
    with pytest.raises(LabFault, match="cannot put"):
        put(image, {path: Put(data=b"x")}, scratch=scratch)
    assert image.read_bytes() == before


@pytest.mark.parametrize("target", ["a\nrm /etc/old", '"', "a\tb"])
def test_a_target_that_debugfs_would_misread_is_refused(image: Path, scratch: Path, target: str) -> None:
    with pytest.raises(LabFault, match="cannot put"):
        put(image, {"/etc/new": Put(link=target)}, scratch=scratch)
    assert debugfs(image, "cat /etc/old") == "an old and longer text"


@pytest.mark.parametrize("path", ["/etc", "/etc/old/below", "/lib/below/a-link"])
def test_a_path_that_cannot_be_written_is_a_lab_fault(image: Path, scratch: Path, path: str) -> None:
    with pytest.raises(LabFault, match="debugfs"):
        put(image, {path: Put(data=b"x")}, scratch=scratch)


def test_a_full_file_system_is_a_lab_fault(image: Path, scratch: Path) -> None:
    with pytest.raises(LabFault, match="Could not allocate block"):
        put(image, {"/etc/large": Put(data=b"x" * (3 << 20))}, scratch=scratch)


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_what_is_no_file_system_is_a_lab_fault(tmp_path: Path, scratch: Path, kind: str) -> None:
    image = tmp_path / "other"
    if kind == "empty":
        image.touch()
    with pytest.raises(LabFault, match="debugfs"):
        put(image, {"/etc/file": Put(data=b"x")}, scratch=scratch)


def test_no_debugfs_is_a_lab_fault(
    image: Path, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabFault, match="debugfs"):
        put(image, {"/etc/file": Put(data=b"x")}, scratch=scratch)


def test_a_copy_keeps_holes_and_contents(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as stream:
        stream.truncate(64 << 20)
        stream.seek(32 << 20)
        stream.write(b"middle")
    copy_sparse(source, target)
    assert target.stat().st_size == 64 << 20
    assert target.stat().st_blocks * 512 < 4 << 20
    with target.open("rb") as stream:
        stream.seek(32 << 20)
        assert stream.read(6) == b"middle"
    assert stat.S_ISREG(target.stat().st_mode)


def test_a_copy_that_fails_is_a_lab_fault(tmp_path: Path) -> None:
    with pytest.raises(LabFault, match="cannot copy"):
        copy_sparse(tmp_path / "none", tmp_path / "target")


@pytest.mark.parametrize(
    ("root", "field"),
    [
        (
            "UUID=0a3407de-014b-458b-b5c1-848e92a327a3",
            "Filesystem UUID:          0a3407de-014b-458b-b5c1-848e92a327a3",
        ),
        ("LABEL=arch_root", "Filesystem volume name:   arch_root"),
    ],
)
def test_the_file_system_can_be_given_its_owner_s_name(
    tmp_path: Path, scratch: Path, root: str, field: str
) -> None:
    image = tmp_path / "plain"
    with image.open("wb") as stream:
        stream.truncate(2 << 20)
    subprocess.run([tool("mke2fs"), "-q", "-t", "ext4", "-O", "^metadata_csum", str(image)], check=True)
    scratch.mkdir()
    identify(image, root, scratch=scratch)
    assert field in debugfs(image, "stats")
    assert is_sound(image)


def test_a_tree_is_read_with_modes_and_links(tmp_path: Path) -> None:
    (tmp_path / "tree/boot").mkdir(parents=True)
    (tmp_path / "tree/boot/file").write_text("x")
    (tmp_path / "tree/boot/file").chmod(0o600)
    (tmp_path / "tree/link").symlink_to("boot/file")
    found = of_tree(tmp_path / "tree")
    assert found == {
        "/boot/file": Put(source=tmp_path / "tree/boot/file", mode=0o600),
        "/link": Put(link="boot/file"),
    }


def test_contents_may_be_a_file_and_paths_may_go(image: Path, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "contents").write_bytes(b"from a file")
    put(
        image,
        {"/etc/new": Put(source=tmp_path / "contents", mode=0o755)},
        scratch=scratch,
        removed=("/etc/old", "/etc/never"),
    )
    assert debugfs(image, "cat /etc/new") == "from a file"
    assert "old" not in debugfs(image, "ls /etc").replace("old_", "")
    assert is_sound(image)
