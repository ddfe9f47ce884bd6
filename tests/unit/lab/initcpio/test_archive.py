"""The archive is read back by a reader of its own, written from the kernel's description of the format."""

from __future__ import annotations

import io
import stat
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.initcpio import archive
from pipeline.lab.initcpio.archive import Entry

HEADER = 110


@dataclass
class Member:
    inode: int
    mode: int
    links: int
    data: bytes
    device: tuple[int, int]


def unpack(data: bytes) -> dict[str, Member]:
    found: dict[str, Member] = {}
    at = 0
    while True:
        assert at % 4 == 0
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        inode, mode, uid, gid, links, mtime, size, _, _, major, minor, name_size, check = fields
        assert (uid, gid, mtime, check) == (0, 0, 0, 0)
        raw = data[at + HEADER : at + HEADER + name_size]
        assert raw.endswith(b"\0")
        at += HEADER + name_size
        at += -at % 4
        content = data[at : at + size]
        assert len(content) == size
        at += size
        padding = data[at : at + -at % 4]
        assert not padding.strip(b"\0")
        at += -at % 4
        name = raw[:-1].decode()
        if name == "TRAILER!!!":
            assert at == len(data)
            return found
        assert name not in found
        found[name] = Member(inode, mode, links, content, (major, minor))


def pack(*entries: Entry) -> bytes:
    stream = io.BytesIO()
    archive.write(entries, stream)
    return stream.getvalue()


def test_an_archive_of_nothing_is_a_trailer() -> None:
    assert unpack(pack()) == {}


def test_files_links_and_directories_come_back() -> None:
    found = unpack(
        pack(
            archive.file("init", b"#!/bin/sh\n", executable=True),
            archive.file("etc/x.conf", b"abc"),
            archive.link("bin", "usr/bin"),
            archive.directory("new_root"),
        )
    )
    assert {name: (oct(one.mode), one.data) for name, one in found.items()} == {
        "bin": ("0o120777", b"usr/bin"),
        "etc": ("0o40755", b""),
        "etc/x.conf": ("0o100644", b"abc"),
        "init": ("0o100755", b"#!/bin/sh\n"),
        "new_root": ("0o40755", b""),
    }


def test_a_device_node_keeps_its_numbers() -> None:
    console = Entry(path="dev/console", mode=stat.S_IFCHR | 0o600, device=(5, 1))
    member = unpack(pack(console))["dev/console"]
    assert stat.S_ISCHR(member.mode)
    assert member.device == (5, 1)


def test_parents_are_made_and_come_before_their_children() -> None:
    names = list(
        unpack(pack(archive.file("a/b/c/d", b""), archive.file("a-b", b""), archive.file("a/b.x", b"")))
    )
    assert set(names) == {"a", "a-b", "a/b", "a/b.x", "a/b/c", "a/b/c/d"}
    for name in names:
        for parent in [name[:i] for i, char in enumerate(name) if char == "/"]:
            assert names.index(parent) < names.index(name)


def test_a_directory_named_outright_keeps_its_mode() -> None:
    secret = Entry(path="root", mode=stat.S_IFDIR | 0o700)
    for entries in ([secret, archive.file("root/x", b"")], [archive.file("root/x", b""), secret]):
        assert unpack(pack(*entries))["root"].mode == stat.S_IFDIR | 0o700


def test_of_two_members_with_one_path_the_later_wins() -> None:
    assert unpack(pack(archive.file("x", b"old"), archive.file("x", b"new")))["x"].data == b"new"


def test_inodes_differ_so_nothing_is_taken_for_a_hard_link() -> None:
    found = unpack(pack(*(archive.file(f"f{number}", b"") for number in range(20))))
    assert len({one.inode for one in found.values()}) == 20
    assert {one.links for one in found.values()} == {1}


@pytest.mark.parametrize("length", range(9))
def test_contents_of_every_alignment_come_back(length: int) -> None:
    found = unpack(pack(archive.file("n" * (length + 1), bytes(range(length))), archive.file("z", b"end")))
    assert found["n" * (length + 1)].data == bytes(range(length))
    assert found["z"].data == b"end"


NAMES = st.lists(st.text("ab-.é", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(NAMES, st.binary(max_size=9), max_size=6), st.randoms())
def test_any_files_come_back_and_the_order_of_writing_does_not_matter(files, random) -> None:
    files = {
        name: data for name, data in files.items() if not any(other.startswith(name + "/") for other in files)
    }
    entries = [archive.file(name, data) for name, data in files.items()]
    written = pack(*entries)
    read = {name: one.data for name, one in unpack(written).items() if stat.S_ISREG(one.mode)}
    assert read == files
    random.shuffle(entries)
    assert pack(*entries) == written
