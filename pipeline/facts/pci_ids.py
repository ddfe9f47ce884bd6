"""Names of vendors, devices and classes, from the pci.ids that the system has; None where it has none.

What is found differs from machine to machine: it may stand in a message, never in a rendered file.
"""

from __future__ import annotations

import re
import stat
from functools import cache
from pathlib import Path

from pipeline.pci import IdPair

# hwdata (Arch, Fedora), pciutils and pci.ids (Debian)
PATHS = (Path("/usr/share/hwdata/pci.ids"), Path("/usr/share/misc/pci.ids"))
_LARGEST = 16 << 20
_LONGEST = 120


def device(ids: IdPair, *, paths: tuple[Path, ...] = PATHS) -> str | None:
    """The name of a device with that of its maker, such as `NVIDIA Corporation GP104 [GeForce GTX 1080]`."""
    maker = vendor(ids.vendor, paths=paths)
    name = _below(_block(paths, f"{ids.vendor:04x}"), f"{ids.device:04x}")
    return f"{maker} {name}" if maker and name else None


def vendor(number: int, *, paths: tuple[Path, ...] = PATHS) -> str | None:
    """The name of a maker by its 16-bit id."""
    return _title(_block(paths, f"{number:04x}"))


def class_name(code: str, *, paths: tuple[Path, ...] = PATHS) -> str | None:
    """The name of a class by four or six hexadecimal digits: that of the subclass, else of the base class."""
    block = _block(paths, f"C {code[:2].lower()}")
    return _below(block, code[2:4].lower()) or _title(block)


@cache
def _content(paths: tuple[Path, ...]) -> bytes:
    """The first of the files that can be read, with a line end before everything; empty where there is none."""
    for path in paths:
        try:
            state = path.stat()
            if stat.S_ISREG(state.st_mode) and state.st_size <= _LARGEST:
                return b"\n" + path.read_bytes()
        except OSError:
            continue
    return b""


@cache
def _block(paths: tuple[Path, ...], key: str) -> bytes:
    """The line of a vendor or class and the indented lines below it; empty where there is none."""
    content = _content(paths)
    start = content.find(f"\n{key}  ".encode())
    if start < 0:
        return b""
    end = re.compile(rb"\n[^\t#\n\r]").search(content, start + 1)
    return content[start + 1 : end.start() if end else len(content)]


def _title(block: bytes) -> str | None:
    return _name(block.partition(b"\n")[0].partition(b"  ")[2])


def _below(block: bytes, key: str) -> str | None:
    """The name in the line with one tab before `key`."""
    found = re.search(rb"\n\t" + re.escape(key.encode()) + rb"  ([^\n]*)", block)
    return _name(found[1]) if found else None


def _name(raw: bytes) -> str | None:
    """A name as it may stand in a message: one line of printable characters."""
    text = "".join(one if one.isprintable() else " " for one in raw.decode("utf-8", errors="replace"))
    return " ".join(text.split())[:_LONGEST] or None
