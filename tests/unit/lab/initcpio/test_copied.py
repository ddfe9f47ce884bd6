from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from pipeline.lab.initcpio.copied import Copier, Missing

BASE = {
    "bin": "usr/bin",
    "lib": "usr/lib",
    "usr/sbin": "bin",
    "usr": "",
    "usr/bin": "",
    "usr/bin/sh": "busybox",
    "usr/lib64": "",
    "lib64": "usr/lib64",
}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/etc/x", "etc/x"),
        ("/bin/x", "usr/bin/x"),
        ("/lib/a/b", "usr/lib/a/b"),
        ("/usr/sbin/x", "usr/bin/x"),
        ("/bin", "bin"),
        ("/usr/bin/sh", "usr/bin/sh"),
    ],
)
def test_what_goes_below_a_link_goes_to_its_target(tmp_path: Path, path: str, place: str) -> None:
    assert Copier(root=tmp_path, base=BASE).place(path) == place


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"secret")
    (tmp_path / "key").chmod(0o400)
    (entry,) = Copier(root=tmp_path).file("/key")
    assert (entry.path, entry.mode, entry.data) == ("key", stat.S_IFREG | 0o400, b"secret")


def test_a_file_reached_by_a_link_comes_with_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/real").write_bytes(b"x")
    (tmp_path / "etc/link").symlink_to("real")
    found = {one.path: one.data for one in Copier(root=tmp_path).file("/etc/link")}
    assert found == {"etc/real": b"x", "etc/link": b"/etc/real"}


def test_a_program_comes_with_its_libraries_but_those_of_the_base(tmp_path: Path) -> None:
    bash = Path(shutil.which("bash") or "").resolve()
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "usr/bin/bash").write_bytes(bash.read_bytes())
    (tmp_path / "lib/libc.so.6").write_bytes(b"c")
    (tmp_path / "lib64/ld-linux-x86-64.so.2").write_bytes(b"loader")
    entries, errors, warnings = Copier(root=tmp_path, base=BASE).program("bash")
    assert {"usr/bin/bash", "usr/lib/libc.so.6", "usr/lib64/ld-linux-x86-64.so.2"} == {
        one.path for one in entries
    }
    assert errors == ["binary dependency 'libtinfo.so.6' not found for 'bash'"]
    assert warnings == []
    base = BASE | {"usr/lib/libc.so.6": "", "usr/lib64/ld-linux-x86-64.so.2": ""}
    entries, _, _ = Copier(root=tmp_path, base=base).program("/usr/bin/bash")
    assert [one.path for one in entries] == ["usr/bin/bash"]


@pytest.mark.parametrize(
    ("shebang", "missing"),
    [
        ("#!/bin/sh", ""),
        ("#!/usr/bin/env sh", ""),
        ("#!/usr/bin/env python3 -I", "python3"),
        ("#! /opt/x -e", "/opt/x"),
        ("#!", ""),
        ("text", ""),
    ],
)
def test_the_interpreter_of_a_script_is_missed(tmp_path: Path, shebang: str, missing: str) -> None:
    (tmp_path / "script").write_text(f"{shebang}\n/bin/none\n")
    _, errors, warnings = Copier(root=tmp_path, base=BASE).program("/script")
    assert errors == []
    assert warnings == ([f"Possibly missing '{missing}' for script: /script"] if missing else [])


def test_a_damaged_program_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"\x7fELF\x02\x01" + bytes(20))
    entries, errors, _ = Copier(root=tmp_path).program("/broken")
    assert [one.path for one in entries] == ["broken"]
    assert errors[0].startswith("'/broken' cannot be read: a damaged program")


@pytest.mark.parametrize("name", ["/", "/etc", "", "/none/x"])
def test_what_is_no_file_is_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / "etc").mkdir()
    with pytest.raises(Missing, match="file not found"):
        list(Copier(root=tmp_path).file(name))
