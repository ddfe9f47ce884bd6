"""libvirt's hooks that take a card from the host when its guest starts.

Source: libvirt docs/hooks.rst: /etc/libvirt/hooks/qemu, and the scripts in qemu.d beside it. The folders
qemu.d/GUEST/prepare/begin are those of the dispatcher that guides for hosts with one card hand round (VFIO-Tools).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.files import scripts
from pipeline.files.reader import Reader

_FOLDER = "etc/libvirt/hooks"
_DISPATCHED = f"{_FOLDER}/qemu.d"
# vfio-pci loaded, a console or driver unbound, `virsh nodedev-detach`.
_HANDS_OVER = re.compile(r"^[^#\n]*(?:\bvfio|\bunbind\b|\bvtcon|\bnodedev-detach\b)", re.MULTILINE)


def hand_over(reader: Reader) -> bool:
    """Whether a hook lets go of a card for a guest: the host then uses it until that guest starts."""
    texts = (scripts.text(reader, path) for path in _scripts(reader))
    return any(_HANDS_OVER.search(text.content) for text in texts if text)


def _scripts(reader: Reader) -> Iterator[str]:
    yield f"{_FOLDER}/qemu"
    for name in reader.names(_DISPATCHED):
        path = f"{_DISPATCHED}/{name}"
        if reader.tree.is_directory(path):
            begin = f"{path}/prepare/begin"
            yield from (f"{begin}/{one}" for one in reader.names(begin))
        else:
            yield path
