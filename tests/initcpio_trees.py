"""Small kernels and their images, for tests that need no real ones."""

from __future__ import annotations

import struct
from pathlib import Path

from pipeline.lab.initcpio.modules import ModuleTree

BOCHS = "pci:v00001234d00001111sv00001AF4sd00001100bc03sc80i00"
HDA = "pci:v00008086d00002668sv00001AF4sd00001100bc04sc03i00"
DISK = "virtio:d00000002v00001AF4"
MACHINE = (BOCHS, HDA, DISK)

PATHS = {
    "bochs": "kernel/drivers/gpu/drm/tiny/bochs.ko",
    "radeon": "kernel/drivers/gpu/drm/radeon/radeon.ko",
    "drm": "kernel/drivers/gpu/drm/drm.ko",
    "snd_hda_intel": "kernel/sound/pci/hda/snd-hda-intel.ko",
    "virtio_blk": "kernel/drivers/block/virtio_blk.ko",
    "ext4": "kernel/fs/ext4/ext4.ko",
    "usbhid": "kernel/drivers/hid/usbhid/usbhid.ko",
    "vfio": "kernel/drivers/vfio/vfio.ko",
    "vfio_pci": "kernel/drivers/vfio/pci/vfio-pci.ko",
    "vfio_iommu_type1": "kernel/drivers/vfio/vfio_iommu_type1.ko",
    "vfio_virqfd": "kernel/drivers/vfio/vfio_virqfd.ko",
}
NEEDS = {
    "bochs": ["drm"],
    "radeon": ["drm"],
    "vfio_pci": ["vfio"],
    "vfio_iommu_type1": ["vfio"],
}
ALIASES = """\
alias pci:v00001234d00001111sv*sd*bc*sc*i* bochs
alias pci:v00001002d00005159sv*sd*bc*sc*i* radeon
alias pci:v00008086d00002668sv*sd*bc*sc*i* snd_hda_intel
alias virtio:d00000002v* virtio_blk
alias fs-ext4 ext4
"""


def kernel(root: Path, release: str) -> ModuleTree:
    tree = ModuleTree(root, release)
    tree.directory.mkdir(parents=True)
    there = {name: path for name, path in PATHS.items() if name != "vfio_virqfd" or release == "6.1"}
    lines = [
        f"{path}: {' '.join(PATHS[need] for need in NEEDS.get(name, []))}" for name, path in there.items()
    ]
    (tree.directory / "modules.dep").write_text("\n".join(lines) + "\n")
    (tree.directory / "modules.dep.bin").write_bytes(b"index")
    (tree.directory / "modules.alias").write_text(ALIASES)
    (tree.directory / "modules.softdep").write_text("softdep ext4 pre: crc32c\n")
    (tree.directory / "modules.builtin").write_text("kernel/drivers/ata/ahci.ko\n")
    for name, path in there.items():
        (tree.directory / path).parent.mkdir(parents=True, exist_ok=True)
        (tree.directory / path).write_bytes(name.encode())
    return tree


def bzimage(release: str) -> bytes:
    """A kernel image that is nothing but its header (Documentation/arch/x86/boot.rst)."""
    text = f"{release} (builder@host) #1 SMP".encode() + b"\0"
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x200)
    return bytes(head) + text + bytes(64)


def read(data: bytes) -> dict[str, tuple[int, bytes]]:
    found = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        mode, size, name_size = (int(data[at + i : at + i + 8], 16) for i in (14, 54, 94))
        name = data[at + 110 : at + 109 + name_size].decode()
        if name == "TRAILER!!!":
            return found
        at += (110 + name_size + 3) // 4 * 4
        found[name] = (mode, data[at : at + size])
        at += (size + 3) // 4 * 4
