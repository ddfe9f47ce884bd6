"""Which compressor mkinitcpio takes. The image itself stays as it is: an emulated processor unpacks slowly."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.lab.initcpio import rooted
from pipeline.lab.initcpio.config import Config

# Programs of packages that every Arch system has (bzip2, gzip, lz4, xz, zstd) or that mkinitcpio knows itself.
_EVERYWHERE = frozenset({"bzip2", "cat", "gzip", "lz4", "lzma", "xz", "zstd"})
_ZSTD_SINCE = (5, 9)


def choose(config: Config, asked: str, release: str, root: Path) -> tuple[str, tuple[str, ...]]:
    """The program for `-z asked` or COMPRESSION, and the warnings about it; `cat` where it is not there."""
    warnings: list[str] = []
    wanted = asked or config.compression
    if not asked and config.compression_options and not config.compression:
        warnings.append(
            "COMPRESSION_OPTIONS is set without also setting COMPRESSION. Configure COMPRESSION explicitly!"
        )
    default = "zstd"
    if _version(release) < _ZSTD_SINCE:
        default = "gzip"
        if wanted == "zstd":
            wanted = ""
            warnings.append(
                f"Kernel {release} does not support zstd-compressed initramfs. Using gzip compression instead."
            )
    program = wanted or default
    if program not in _EVERYWHERE and not _is_program(root, program):
        warnings.append(f"Unable to locate compression method: '{program}'")
        program = "cat"
    return program, tuple(warnings)


def _version(release: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", release)
    return tuple(int(part) for part in found.groups()) if found else (0, 0)


def _is_program(root: Path, name: str) -> bool:
    if "/" in name:
        return False
    try:
        return rooted.inside(root, f"/usr/bin/{name}").is_file()
    except OSError:
        return False
