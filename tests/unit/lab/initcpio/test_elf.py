from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.initcpio import elf

BASH = Path(shutil.which("bash") or "/bin/bash").resolve()


@pytest.mark.parametrize("program", ["bash", "mount", "python3"])
def test_as_ldd_sees_it(program: str) -> None:
    path = str(Path(sys.executable if program == "python3" else shutil.which(program) or "").resolve())
    said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    expected = {Path(found).resolve() for found in re.findall(r"(/\S+) \(0x", said)}
    found = dict(elf.libraries(Path("/"), path))
    assert expected
    assert {Path(one).resolve() for one in found.values()} == expected


def test_the_interpreter_and_names_of_a_program() -> None:
    needs = elf.needs(BASH.read_bytes())
    assert needs is not None
    assert needs.interpreter.startswith("/lib")
    assert "libc.so.6" in needs.libraries


def test_anything_else_needs_nothing(tmp_path: Path) -> None:
    assert elf.needs(b"#!/bin/sh\n") is None
    (tmp_path / "script").write_bytes(b"#!/bin/sh\n")
    assert list(elf.libraries(tmp_path, "/script")) == []


def test_a_library_that_is_not_there_has_no_path(tmp_path: Path) -> None:
    (tmp_path / "bash").write_bytes(BASH.read_bytes())
    found = dict(elf.libraries(tmp_path, "/bash"))
    assert found["libc.so.6"] == ""


def test_libraries_of_other_folders_are_found(tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/ld.so.conf").write_text("# none\n/opt\n")
    (tmp_path / "bash").write_bytes(BASH.read_bytes())
    (tmp_path / "opt/libc.so.6").write_bytes(b"")
    assert dict(elf.libraries(tmp_path, "/bash"))["libc.so.6"] == "/opt/libc.so.6"


@given(st.data())
def test_a_damaged_program_is_a_value_error_at_most(data: st.DataObject) -> None:
    whole = bytearray(BASH.read_bytes()[:0x4000])
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(6, 0x400))] = data.draw(st.integers(0, 255))
    try:
        found = elf.needs(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except ValueError:
        return
    assert found is None or isinstance(found.libraries, tuple)
