"""The release that a kernel image says it is.

Source: kernel Documentation/arch/x86/boot.rst: at 0x20E the offset, less 0x200, of the version string.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

_HEADER = 0x202
_MAGIC = b"HdrS"
_POINTER = struct.Struct("<H")
_POINTER_AT = 0x20E
_BASE = 0x200
_LONGEST = 127
_RELEASE = re.compile(rb"\d+(\.\d+)+")


def release_of(image: Path) -> str:
    """The release in the header of a bzImage, `6.12.48+deb13-amd64`.

    Raises ValueError where the file is no x86 kernel image or names no release, OSError where it cannot be read.
    """
    with image.open("rb") as stream:
        head = stream.read(_POINTER_AT + _POINTER.size)
        if len(head) < _POINTER_AT + _POINTER.size or head[_HEADER : _HEADER + len(_MAGIC)] != _MAGIC:
            raise ValueError("no x86 kernel image")
        (offset,) = _POINTER.unpack_from(head, _POINTER_AT)
        stream.seek(offset + _BASE)
        words = stream.read(_LONGEST).partition(b"\0")[0].split()
    if not words or not _RELEASE.match(words[0]):
        raise ValueError("a kernel image without a release")
    return words[0].decode("ascii", errors="replace")
