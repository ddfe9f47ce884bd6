"""The firmware images of guests that are on the host."""

from __future__ import annotations

from pipeline.files.reader import Reader

_SHARE = "usr/share"
_FOLDERS = ("edk2", "edk2-ovmf", "ovmf", "OVMF", "qemu", "qemu/firmware", "qemu-efi-aarch64", "seabios")
_ENDS = (".fd", ".bin", ".qcow2", ".json")
_DEPTH = 3
_MOST = 2_000


def files(reader: Reader) -> frozenset[str] | None:
    """Absolute paths of images and their descriptions; None where the tree has no /usr/share to look into."""
    if not reader.tree.is_directory(_SHARE):
        return None
    found: list[str] = []
    waiting = [(f"{_SHARE}/{folder}", 0) for folder in _FOLDERS]
    while waiting and len(found) < _MOST:
        folder, depth = waiting.pop()
        for name in reader.names(folder)[:_MOST]:
            path = f"{folder}/{name}"
            if name.endswith(_ENDS):
                found.append(f"/{path}")
            elif depth < _DEPTH and "." not in name:
                waiting.append((path, depth + 1))
    return frozenset(found)
