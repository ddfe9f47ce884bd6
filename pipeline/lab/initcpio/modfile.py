"""Module files as they go into an image."""

from __future__ import annotations

import lzma
import struct

_SIGNED = b"~Module signature appended~\n"
_SIGNATURE_INFO = struct.Struct(">8BI")
_XZ_MAGIC = b"\xfd7zXZ\0"
_ELF_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little endian
_HEADER = struct.Struct("<40xQ10xHHH")
_SECTION = struct.Struct("<IIQ8xQ32x")
_ALLOCATED = 2
# What the kernel does not need to run a module: for tracing its functions (__mcount_loc, __ignore_loc where it was
# renamed before), for its stack traces (.orc), for BPF programs that look into it (.BTF), for call depth tracking,
# which mitigations=off turns off (.call_sites: arch/x86/kernel/callthunks.c).
_UNUSED = frozenset(
    (
        b"__mcount_loc",
        b"__ignore_loc",
        b".orc_unwind",
        b".orc_unwind_ip",
        b".BTF",
        b".BTF.base",
        b".call_sites",
    )
)


def unpacked(module: bytes) -> bytes:
    """A module without compression, signature and the sections that it runs without.

    With amdgpu on an emulated processor that saves some 15 s of a boot: for each trace point the kernel searches
    all symbols of the module (kernel/trace/ftrace.c test_for_valid_rec(); sampled, 6.12), and of its half a million
    relocations half are for the sections that are left out. What the module does is the same. The file keeps its
    name: kmod goes by the first bytes, not by the name (libkmod-file.c). Raises ValueError where the headers point
    astray.
    """
    plain = lzma.decompress(module) if module.startswith(_XZ_MAGIC) else module
    if plain.endswith(_SIGNED):
        # struct module_signature (include/linux/module_signature.h) lies between signature and marker.
        end = len(plain) - len(_SIGNED) - _SIGNATURE_INFO.size
        *_, size = _SIGNATURE_INFO.unpack_from(plain, end)
        plain = plain[: end - size]
    return _without(plain, _UNUSED) if plain.startswith(_ELF_MAGIC) else plain


def _without(module: bytes, unused: frozenset[bytes]) -> bytes:
    """The module with the sections `unused` neither named nor loaded, so the kernel takes them for nothing.

    It looks for sections by name, and relocates only what is loaded (kernel/module/main.c find_sec(),
    apply_relocations()). All stay at their offsets.
    """
    changed = bytearray(module)
    try:
        start, size, count, names = _HEADER.unpack_from(module)
        *_, strings = _SECTION.unpack_from(module, start + names * size)
        for place in range(start, start + count * size, size):
            name, kind, flags, _ = _SECTION.unpack_from(module, place)
            end = module.index(b"\0", strings + name)
            if module[strings + name : end] in unused:
                # The first of the names is empty (System V ABI, String Table).
                struct.pack_into("<IIQ", changed, place, 0, kind, flags & ~_ALLOCATED)
    except struct.error as error:
        raise ValueError(f"a damaged module: {error}") from error
    return bytes(changed)
