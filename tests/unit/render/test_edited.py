"""A bundle with the files of a directory over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.render.bundle import Bundle
from pipeline.render.edited import edited

BUNDLE = Bundle(
    files={"etc/default/grub": b"rendered", "libvirt/win10.xml": b"<domain/>", "apply.md": b"steps"}
)


def write(folder: Path, path: str, data: bytes) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)


def test_what_differs_replaces_what_was_rendered(tmp_path: Path) -> None:
    write(tmp_path, "etc/default/grub", b"edited")
    write(tmp_path, "etc/modprobe.d/own.conf", b"more")
    write(tmp_path, "libvirt/win10.xml", b"<domain/>")
    write(tmp_path, "apply.md", b"not looked at")
    write(tmp_path, "report/verdict.json", b"nor this")
    found, changed = edited(BUNDLE, tmp_path)
    assert changed == ("etc/default/grub", "etc/modprobe.d/own.conf")
    assert dict(found.files) == {
        **BUNDLE.files,
        "etc/default/grub": b"edited",
        "etc/modprobe.d/own.conf": b"more",
    }


def test_a_folder_without_the_files_changes_nothing(tmp_path: Path) -> None:
    found, changed = edited(BUNDLE, tmp_path)
    assert (dict(found.files), changed) == (dict(BUNDLE.files), ())


def test_what_is_no_folder_or_no_configuration_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a directory"):
        edited(BUNDLE, tmp_path / "none")
    write(tmp_path, "etc/large", bytes((1 << 20) + 1))
    with pytest.raises(BadInput, match="larger than 1 MiB"):
        edited(BUNDLE, tmp_path)


def test_a_name_that_cannot_be_in_a_bundle_is_bad_input(tmp_path: Path) -> None:
    write(tmp_path, "etc/a name", b"")
    with pytest.raises(BadInput, match="cannot be the name of a file"):
        edited(BUNDLE, tmp_path)


def test_what_was_removed_from_the_output_of_a_build_is_not_there(tmp_path: Path) -> None:
    rendered = Bundle(
        files={**BUNDLE.files, "manifest.json": b'{"tool": {"name": "dryboot"}, "files": FILES}'}
    )
    listed = b'{"etc/default/grub": {}, "libvirt/win10.xml": {}, "apply.md": {}}'
    manifest = rendered.files["manifest.json"].replace(b"FILES", listed)
    write(tmp_path, "libvirt/win10.xml", b"<domain/>")
    assert edited(rendered, tmp_path)[1] == ()  # a few files of one's own: the others stay
    write(tmp_path, "manifest.json", manifest)
    found, changed = edited(rendered, tmp_path)
    assert changed == ("etc/default/grub",)
    assert "etc/default/grub" not in found.files
    (tmp_path / "libvirt/win10.xml").unlink()
    with pytest.raises(BadInput, match=r"has no libvirt/win10\.xml"):
        edited(rendered, tmp_path)


def test_a_program_that_is_not_executable_is_edited(tmp_path: Path) -> None:
    hook, script = "etc/libvirt/hooks/qemu.d/win10-passthrough", "etc/grub.d/42_without_passthrough"
    bundle = Bundle(files={hook: b"#!/bin/sh\n", script: b"#!/bin/sh\n"})
    for path in (hook, script):
        write(tmp_path, path, b"#!/bin/sh\n")
    (tmp_path / script).chmod(0o755)
    found, changed = edited(bundle, tmp_path)
    assert (changed, dict(found.modes)) == ((hook,), {hook: 0o644})
    assert not bundle.modes
