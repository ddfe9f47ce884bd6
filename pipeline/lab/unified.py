"""Reads unified kernel images.

Source: UAPI Unified Kernel Image specification: a PE file with the sections .linux, .initrd, .cmdline, .osrel.
"""

from __future__ import annotations

import re
from pathlib import Path

import pefile

from pipeline.lab.grub import Entry

SUFFIX = ".efi"
_TITLE = re.compile(r"""^PRETTY_NAME=["']?(.*?)["']?$""", re.MULTILINE)


def sections(image: Path) -> dict[str, bytes]:
    """Contents of the sections by their names; raises ValueError where the file is no PE image."""
    try:
        with pefile.PE(str(image), fast_load=True) as read:
            return {
                one.Name.rstrip(b"\0").decode("ascii", errors="replace"): one.get_data()[
                    : one.Misc_VirtualSize
                ]
                for one in read.sections
            }
    except pefile.PEFormatError as error:
        raise ValueError(f"no PE image: {error}") from error


def entry(path: str, image: Path) -> Entry:
    """What systemd-boot makes of the image at `path` of the host; its identifier is the file's name.

    Raises ValueError where it is no unified kernel image.
    """
    found = sections(image)
    if ".linux" not in found or ".osrel" not in found:
        raise ValueError("no unified kernel image: it has no section .linux or .osrel")
    name = path.rpartition("/")[2]
    title = _TITLE.search(_text(found[".osrel"]))
    return Entry(
        title=title[1] if title else name,
        identifier=name,
        kernel=path,
        parameters=_text(found.get(".cmdline", b"")),
        initrds=(),
    )


def unpack(image: Path, folder: Path) -> tuple[Path, Path]:
    """Kernel and initramfs of the image as files in `folder`."""
    found = sections(image)
    kernel, initramfs = folder / "uki-linux", folder / "uki-initrd"
    kernel.write_bytes(found[".linux"])
    initramfs.write_bytes(found.get(".initrd", b""))
    return kernel, initramfs


def _text(data: bytes) -> str:
    return data.decode(errors="replace").rstrip("\0").strip()
