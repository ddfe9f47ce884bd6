"""Functions that get vfio-pci by driver_override, as far as scripts name them by their addresses.

Source: kernel Documentation/ABI/testing/sysfs-bus-pci driver_override; driverctl(8), which keeps one file a device.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.files import scripts
from pipeline.files.initramfs_tools import INIT_TOP
from pipeline.files.modprobe import Install
from pipeline.files.reader import Reader
from pipeline.files.syntax import walk
from pipeline.files.text import Text
from pipeline.pci import Address

_ADDRESS = re.compile(r"(?<![0-9a-fA-F:])[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7](?![0-9a-fA-F])")
_DRIVERCTL = "etc/driverctl.d"
_HOOKS = "etc/initcpio/hooks"
_DRIVER = "vfio-pci"


def read(reader: Reader, installs: Sequence[Install]) -> tuple[Address, ...]:
    """By the scripts that run at boot: those that modprobe runs for vfio-pci, and those of the initramfs."""
    found: list[Address] = []
    for install in installs:
        if install.module.replace("_", "-") == _DRIVER:
            found += _literal(install.command) if "driver_override" in install.command else []
            for word in install.command.split():
                path = word.strip("\"';&").lstrip("/")
                text = scripts.text(reader, path) if word.lstrip("\"'").startswith("/") else None
                found += _of_script(reader, text) if text else []
    for folder in (INIT_TOP, _HOOKS):
        for name in reader.names(folder):
            text = scripts.text(reader, f"{folder}/{name}")
            found += _of_script(reader, text) if text else []
    for name in reader.names(_DRIVERCTL):
        if _ADDRESS.fullmatch(name):
            text = reader.text(f"{_DRIVERCTL}/{name}")
            if text and text.content.strip() == _DRIVER:
                found.append(Address.parse(name))
    return tuple(dict.fromkeys(found))


def _of_script(reader: Reader, text: Text) -> list[Address]:
    if "driver_override" not in text.content or _DRIVER not in text.content:
        return []
    parsed = scripts.script(reader, text)
    if parsed is None:
        return []
    content = bytearray(parsed.content.encode())
    for node in walk(parsed.root):
        if node.type == "comment":
            content[node.start_byte : node.end_byte] = b" " * (node.end_byte - node.start_byte)
    found = _literal(content.decode())
    if not found:
        reader.note(text.whole, "it sets driver_override, but names no function by its address")
    return found


def _literal(source: str) -> list[Address]:
    return [Address.parse(one[0]) for one in _ADDRESS.finditer(source)]
