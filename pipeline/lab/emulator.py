"""A QEMU release that takes the place of L1's own: on a disk of its own, with the firmware that belongs to it.

libvirt in L1 starts it by a script, through its own loader, as the lab starts its QEMU: nothing is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import BadInput, LabFault
from pipeline.lab import cache, tools
from pipeline.lab.board import DISK_SLOT
from pipeline.lab.cache import Progress

if TYPE_CHECKING:
    from pipeline.lab.releases import Release
    from pipeline.lab.shell import Shell

PLACE = "/opt/qemu"
_LABEL = "dryboot-qemu"
_SCRIPT = "/opt/qemu-system-x86_64"
# Room beside the files for the file system itself, in MiB.
_ROOM = 64
_DISK = "tree.ext4"


@dataclass(frozen=True, kw_only=True, slots=True)
class Emulator:
    """`disk` holds the release's tree, `script` starts it; `binary`, `code` and `variables` are paths in L1."""

    version: str
    disk: Path
    code: str
    variables: str
    script: str
    binary: str = _SCRIPT

    @property
    def arguments(self) -> tuple[str, ...]:
        """QEMU's arguments for L1 to have the disk."""
        return (
            *("-blockdev", f"driver=file,filename={self.disk},node-name=emulator,read-only=on"),
            *("-device", f"virtio-blk-pci,drive=emulator,addr={DISK_SLOT:x}.2,romfile="),
        )

    def mount(self, shell: Shell) -> None:
        """Put the tree at its place in L1; raises LabFault where the disk is not there."""
        shell.write(self.binary, self.script.encode())
        mount = f"mkdir -p {PLACE} && mount -o ro LABEL={_LABEL} {PLACE}"
        done = shell.run(f"chmod 755 {self.binary} && {mount} && {self.binary} --version")
        if done.status:
            raise LabFault(f"QEMU {self.version} does not run in L1: {done.err.strip()}")
        if f"version {self.version}" not in done.out:
            raise LabFault(f"QEMU in {PLACE} of L1 is not {self.version}: {done.out.strip()[:80]}")


def emulator(release: Release, progress: Progress) -> Emulator:
    """A release whose packages are unpacked in the cache; its disk comes from there too.

    Raises BadInput for a release that has no tree of its own with loader and firmware, LabFault.
    """
    tree, pair = release.qemu.tree, release.firmware.plain
    if tree is None or not all(path.is_relative_to(tree) for path in (pair.code, pair.variables)):
        raise BadInput(
            f"QEMU {release.name} ({release.qemu.origin}) cannot run in the lab's host: it is no root directory "
            "with libraries and OVMF of its own",
            hint="--lane fast takes it; one that was added as a whole root directory does in both lanes",
        )
    name = cache.key("emulator", 1, release.digest, str(tree), tools.name())

    def make(fresh: Path) -> None:
        progress(f"making a disk of QEMU {release.name} for the host")
        size = sum(path.lstat().st_size for path in tree.rglob("*")) // (1 << 20) + _ROOM
        argv = ["mke2fs", "-q", "-t", "ext4", "-L", _LABEL, "-O", "^has_journal", "-m", "0", "-d", "/tree"]
        made = tools.run(
            [*argv, f"/out/{_DISK}", f"{size}M"],
            scratch=fresh,
            binds={tree: "/tree", fresh: "/out"},
            progress=progress,
        )
        tools.demand(made, f"the disk of QEMU {release.name} could not be made")

    return Emulator(
        version=release.qemu.version,
        disk=cache.prepared("emulators", name, make) / _DISK,
        code=f"{PLACE}/{pair.code.relative_to(tree)}",
        variables=f"{PLACE}/{pair.variables.relative_to(tree)}",
        script=release.qemu.moved(Path(PLACE)).script(),
    )
