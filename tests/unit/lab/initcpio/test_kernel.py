from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.lab.initcpio.kernel import release_of
from tests.initcpio_trees import bzimage

FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "vmlinuz"
    path.write_bytes(data)
    return release_of(path)


@pytest.mark.parametrize("release", ["6.12.48+deb13-amd64", "4.19.69-1-MANJARO", "6.12", "6.1.0-50-amd64"])
def test_the_release_of_a_kernel(tmp_path: Path, release: str) -> None:
    assert read(tmp_path, bzimage(release)) == release


@pytest.mark.parametrize("size", [0, 0x201, 0x206, 0x20F, 0x210, 0x400])
def test_a_file_that_ends_too_early(tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match="kernel image"):
        read(tmp_path, bzimage("6.12")[:size])


def test_a_file_without_the_magic_is_no_kernel(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no x86 kernel image"):
        read(tmp_path, bzimage("6.12").replace(b"HdrS", b"none"))


def test_no_pointer_is_no_release(tmp_path: Path) -> None:
    data = bytearray(bzimage("6.12"))
    data[0x20E:0x210] = bytes(2)
    with pytest.raises(ValueError, match="without a release"):
        read(tmp_path, bytes(data))


@pytest.mark.parametrize("text", ["", " ", "linux", "6", "x6.12"])
def test_what_is_no_release(tmp_path: Path, text: str) -> None:
    data = bytearray(bzimage("6.12"))
    data[0x400:] = text.encode() + bytes(64)
    with pytest.raises(ValueError, match="without a release"):
        read(tmp_path, bytes(data))


@FILES
@given(
    st.from_regex(r"\A[0-9]{1,2}(\.[0-9]{1,3}){1,2}[-+_a-z0-9]{0,20}\Z"),
    st.integers(min_value=0x10, max_value=0xFFFF),
)
def test_any_release_at_any_place(tmp_path: Path, release: str, offset: int) -> None:
    data = bytearray(0x200 + offset)
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x20E, offset)
    assert read(tmp_path, bytes(data) + release.encode() + b" (x@y) #1\0rest") == release


@FILES
@given(st.binary(max_size=80), st.integers(min_value=0, max_value=0xFFFF))
def test_garbage_is_a_value_error_or_a_release(tmp_path: Path, text: bytes, offset: int) -> None:
    data = bytearray(0x210)
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x20E, offset)
    try:
        release = read(tmp_path, bytes(data) + text)
    except ValueError:
        return
    assert release[0].isdigit()
