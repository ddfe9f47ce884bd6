"""Module files as they go into an image."""

from __future__ import annotations

import lzma
import struct

_SIGNED = b"~Module signature appended~\n"
_SIGNATURE_INFO = struct.Struct(">8BI")
_TRACE_SECTION = b"__mcount_loc\0"
_XZ_MAGIC = b"\xfd7zXZ\0"


def unpacked(module: bytes) -> bytes:
    """A module without compression, signature and table of trace points.

    With amdgpu on an emulated processor that saves some 15 s of a boot: for each trace point the kernel searches
    all symbols of the module (kernel/trace/ftrace.c test_for_valid_rec(); sampled, 6.12). What the module does
    is the same. The file keeps its name: kmod goes by the first bytes, not by the name (libkmod-file.c).
    """
    plain = lzma.decompress(module) if module.startswith(_XZ_MAGIC) else module
    if plain.endswith(_SIGNED):
        # struct module_signature (include/linux/module_signature.h) lies between signature and marker.
        end = len(plain) - len(_SIGNED) - _SIGNATURE_INFO.size
        *_, size = _SIGNATURE_INFO.unpack_from(plain, end)
        plain = plain[: end - size]
    return plain.replace(_TRACE_SECTION, _TRACE_SECTION.replace(b"mcount", b"ignore"))
