from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.lab.initcpio.compression import choose
from pipeline.lab.initcpio.config import Config


def config(compression: str = "", *options: str) -> Config:
    return Config(
        modules=(), binaries=(), files=(), hooks=(), compression=compression, compression_options=options
    )


@pytest.mark.parametrize(
    ("written", "asked", "release", "program", "warning"),
    [
        ("", "", "6.12.1", "zstd", ""),
        ("", "", "5.9", "zstd", ""),
        ("", "", "5.8.1", "gzip", ""),
        ("", "", "4.19.69-1-MANJARO", "gzip", ""),
        ("zstd", "", "4.19.69", "gzip", "Kernel 4.19.69 does not support zstd-compressed initramfs. Using gzip"),
        ("xz", "", "4.19.69", "xz", ""),
        ("xz", "lz4", "6.12", "lz4", ""),
        ("cat", "", "6.12", "cat", ""),
        ("zst", "", "6.12", "cat", "Unable to locate compression method: 'zst'"),
        ("lzop", "", "6.12", "cat", "Unable to locate compression method: 'lzop'"),
        ("../bin/sh", "", "6.12", "cat", "Unable to locate compression method"),
    ],
)  # fmt: skip
def test_which_compressor_is_taken(
    tmp_path: Path, written: str, asked: str, release: str, program: str, warning: str
) -> None:
    found, warnings = choose(config(written), asked, release, tmp_path)
    assert found == program
    assert [text.startswith(warning) for text in warnings] == ([True] if warning else [])


def test_a_compressor_of_the_host_is_taken(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/lzop").touch()
    assert choose(config("lzop"), "", "6.12", tmp_path) == ("lzop", ())


def test_options_for_no_compressor_are_warned_of(tmp_path: Path) -> None:
    assert choose(config("", "-9"), "", "6.12", tmp_path)[1][0].startswith(
        "COMPRESSION_OPTIONS is set without"
    )
    assert choose(config("", "-9"), "xz", "6.12", tmp_path) == ("xz", ())
    assert choose(config("xz", "-9"), "", "6.12", tmp_path) == ("xz", ())
