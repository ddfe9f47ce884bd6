"""Takes the table of trace points out of the graphics drivers of a root file system.

For each trace point of a module the kernel searches all its symbols (kernel/trace/ftrace.c
test_for_valid_rec(); sampled, 6.12): on an emulated processor amdgpu alone takes some 15 s to load, and under a
second without the table. What the module does is the same. Run as a hook while the image is built:
`python -m pipeline.lab.image.untraced ROOT`.
"""

from __future__ import annotations

import lzma
import struct
import subprocess
import sys
from pathlib import Path

_FOLDER = "kernel/drivers/gpu/drm"
_SIGNED = b"~Module signature appended~\n"
_SIGNATURE_INFO = struct.Struct(">8BI")
_TRACE_SECTION = b"__mcount_loc\0"


def untraced(module: bytes) -> bytes:
    """A module (ELF, perhaps signed) without signature and with the section under another name."""
    if module.endswith(_SIGNED):
        # struct module_signature (include/linux/module_signature.h) lies between signature and marker.
        end = len(module) - len(_SIGNED) - _SIGNATURE_INFO.size
        *_, size = _SIGNATURE_INFO.unpack_from(module, end)
        module = module[: end - size]
    return module.replace(_TRACE_SECTION, _TRACE_SECTION.replace(b"mcount", b"ignore"))


def _unpacked(module: Path) -> bytes:
    """Debian packs modules with xz, Arch with Zstandard."""
    if module.suffix == ".xz":
        return lzma.decompress(module.read_bytes())
    return subprocess.run(["zstd", "-dc", str(module)], check=True, capture_output=True).stdout


def main(root: Path) -> None:
    """Unpack and treat the graphics drivers of every kernel under `root`, and index its modules again."""
    for release in sorted((root / "usr/lib/modules").iterdir()):
        for packed in sorted((release / _FOLDER).rglob("*.ko.*")):
            packed.with_suffix("").write_bytes(untraced(_unpacked(packed)))
            packed.unlink()
        subprocess.run(["chroot", str(root), "depmod", release.name], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
