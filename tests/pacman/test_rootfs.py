"""Roots of the user's own, unpacked: archives packed in each way, layers over layers, and what cannot be one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.lab import cache, tools
from pipeline.lab.image import rootfs

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files of many users need root")
KIND = "application/vnd.oci.image.layer.v1.tar+gzip"


def layer(members: dict[str, str | None], *, links: dict[str, str] | None = None) -> bytes:
    """An archive with these files; a directory where there is no text."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.uid = 1234
            if text is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
            else:
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return data.getvalue()


def put_over(tmp_path: Path, *layers: bytes) -> Path:
    tree, work = tmp_path / "tree", tmp_path / "work"
    tree.mkdir()
    work.mkdir()
    for number, data in enumerate(layers):
        blob = tmp_path / f"blob{number}"
        blob.write_bytes(data)
        rootfs._extract(blob, tree, work, print)
    return tree


def files(tree: Path) -> dict[str, str]:
    return {
        path.relative_to(tree).as_posix(): path.read_text()
        for path in tree.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_layers_hide_and_replace_what_is_below(tmp_path: Path) -> None:
    low = layer({"a/": None, "a/one": "1", "a/two": "2", "b/": None, "b/x": "x", "c/": None, "c/deep": "d"})
    high = layer({"a/.wh.one": "", "b/.wh..wh..opq": "", "b/y": "y", "c": "now a file"})
    tree = put_over(tmp_path, low, high)
    assert files(tree) == {"a/two": "2", "b/y": "y", "c": "now a file"}
    assert (tree / "a/two").stat().st_uid == 1234


def test_a_link_in_a_layer_leads_nowhere_on_this_machine(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    low = layer({}, links={"out": str(precious)})
    put_over(tmp_path, low, layer({"out/.wh.file": ""}))
    assert files(precious) == {"file": "mine"}
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(BadInput, match="could not be unpacked"):
        put_over(again, low, layer({"out/new": "x"}))
    assert files(precious) == {"file": "mine"}


def test_an_archive_is_read_however_it_is_packed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("text")
    for suffix in ("gz", "xz", "zst"):
        done = tools.run(
            ["tar", "-C", "/x/in", "-caf", f"/x/root.tar.{suffix}", "."],
            scratch=tmp_path,
            binds={tmp_path: "/x"},
            progress=print,
        )
        tools.demand(done, suffix)
        folder = tmp_path / suffix
        folder.mkdir()
        tree = put_over(folder, (tmp_path / f"root.tar.{suffix}").read_bytes())
        assert files(tree) == {"file": "text"}


@pytest.mark.parametrize("shape", ["directory", "archive", "layout"])
def test_what_cannot_be_a_host_names_all_that_is_missing_and_leaves_nothing(
    tmp_path: Path, shape: str
) -> None:
    source = tmp_path / "source"
    data = layer({"usr/bin/kmod": "x"})
    if shape == "archive":
        source.write_bytes(data)
    elif shape == "directory":
        (source / "usr/bin").mkdir(parents=True)
        (source / "usr/bin/kmod").touch()
    else:
        write_layout(source, data)
    before = {path for path in (cache.root() / "images").iterdir() if path.is_dir()}
    with pytest.raises(BadInput, match=r"lacks a kernel's modules .*; systemd; udev; busybox"):
        rootfs.image(source, print)
    assert {path for path in (cache.root() / "images").iterdir() if path.is_dir()} == before


def test_what_is_no_archive_is_bad_input(tmp_path: Path) -> None:
    source = tmp_path / "notes"
    source.write_text("hello\n")
    with pytest.raises(BadInput, match="no tar archive"):
        rootfs.image(source, print)


def write_layout(folder: Path, *layers: bytes) -> None:
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    manifest = json.dumps({"layers": [blob(one, KIND) for one in layers]}).encode()
    entry = blob(manifest, "application/vnd.oci.image.manifest.v1+json")
    (folder / "index.json").write_text(json.dumps({"manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
