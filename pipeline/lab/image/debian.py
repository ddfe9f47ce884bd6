"""L1 from Debian's packages: a stand-in for hosts whose own distribution is not at hand."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab import cache
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import lock_hooks, mirror, mmdebstrap, read_lock
from pipeline.lab.image import LABEL, UUID, HostImage
from pipeline.lab.initcpio import archive

SUITE = "trixie"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "openssh-server",
    "linux-image-amd64",
    "busybox-static",
    "kmod",
    "pciutils",
    "iproute2",
    "libvirt-daemon-system",
    "libvirt-clients",
    "libvirt-daemon-driver-qemu",
    "qemu-system-x86",
    "ovmf",
    "zstd",
    "grub-common",
    "grub-efi-amd64-bin",
    "initramfs-tools",
    "dracut-core",
    "systemd-boot-efi",
    "systemd-ukify",
    "swtpm",
    "swtpm-tools",
)
_SHAPE = Path(__file__).with_name("shape.sh")
_UNTRACED = Path(__file__).with_name("untraced.py")
_SIZE = "1200M"
# It lives for one run; without checksums its UUID can be changed.
_FEATURES = "^has_journal,^metadata_csum"
_KMOD = ("modprobe", "insmod", "lsmod")
_BUSYBOX = ("sh", "mount", "cat", "sleep", "reboot", "poweroff", "switch_root", "echo", "mkdir", "umount")
_TINY_INIT = b"#!/bin/sh\nexport PATH=/usr/bin\necho DRYBOOT-RAN >/dev/console\npoweroff -f\n"


def name() -> str:
    """The cache's name for the image; changes with everything it is made of."""
    made_by = (_SHAPE.read_bytes(), _UNTRACED.read_bytes())
    return cache.key(
        "debian", 4, SUITE, PACKAGES, mirror(), _SIZE, LABEL, UUID, _BUSYBOX, _TINY_INIT, *made_by
    )


def cached() -> bool:
    """Whether the image is there already."""
    return (cache.root() / "images" / name()).is_dir()


def image(progress: Progress) -> HostImage:
    """The image from the cache, built first if need be (a minute or two)."""
    path = cache.prepared("images", name(), lambda fresh: _build(fresh, progress))
    lock = json.loads((path / "lock.json").read_text())
    return HostImage(
        name=path.name,
        root=path / "root.ext4",
        tree=path / "tree",
        kernel=path / "vmlinuz",
        release=lock["release"],
        base=path / "base.cpio",
        tiny=path / "tiny.cpio",
        grub=path / "grubx64.efi",
        distribution="Debian 13",
        packages={package[0]: package[1] for package in lock["packages"]},
    )


def _build(fresh: Path, progress: Progress) -> None:
    progress("building the L1 image from Debian's packages (a minute or two, 1.3 GB)")
    listed, archived, tree = fresh / "packages", fresh / "root.tar", fresh / "tree"
    mmdebstrap(
        archived,
        suites=(SUITE,),
        packages=PACKAGES,
        variant="apt",
        progress=progress,
        hooks=[
            f'--customize-hook=printf {LABEL} > "$1/.dryboot-label"',
            f"--customize-hook={_SHAPE.read_text()}",
            f'--customize-hook={sys.executable} {_UNTRACED} "$1"',
            *lock_hooks(listed),
        ],
    )
    tree.mkdir()
    _unpack(archived, tree)
    staged = tree / ".dryboot"
    kernels = sorted((tree / "boot").glob("vmlinuz-*"))
    if len(kernels) != 1:
        raise LabFault(f"the image has {len(kernels)} kernels")
    release = kernels[0].name.removeprefix("vmlinuz-")
    shutil.copyfile(kernels[0], fresh / "vmlinuz")
    _write_base(staged / "base", fresh / "base.cpio")
    _write_tiny(staged / "base", fresh / "tiny.cpio")
    (staged / "efi/grubx64.efi").rename(fresh / "grubx64.efi")
    shutil.rmtree(staged)
    progress("making its file system")
    _make_file_system(archived, fresh / "root.ext4")
    archived.unlink()
    packages = [[p.name, p.version, p.architecture, p.sha256] for p in read_lock(listed)]
    (fresh / "lock.json").write_text(
        json.dumps({"release": release, "suite": SUITE, "packages": packages}, indent=1) + "\n"
    )
    listed.unlink()


def _unpack(archived: Path, tree: Path) -> None:
    """The archive as a directory; without root everything in it belongs to the caller."""
    owners = [] if os.geteuid() == 0 else ["--no-same-owner", "--delay-directory-restore"]
    done = subprocess.run(
        ["tar", "-x", "-f", str(archived), "-C", str(tree), "--exclude=./dev/*", *owners],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabFault(f"the image could not be unpacked: {done.stderr.strip()[-500:]}")


def _make_file_system(archived: Path, target: Path) -> None:
    """Turn the tar archive into ext4 with its owners kept; without root, in a user namespace of mmdebstrap's."""
    script = (
        'folder=$(mktemp -d) && trap \'rm -rf "$folder"\' EXIT && trap "exit 1" TERM && mkdir "$folder/root" && '
        'tar -x -C "$folder/root" --exclude=./.dryboot && '
        f'mke2fs -q -t ext4 -L {LABEL} -U {UUID} -O {_FEATURES} -d "$folder/root" "$folder/image" {_SIZE} >&2 && '
        'cat "$folder/image"'
    )
    root = os.geteuid() == 0
    helper = [] if root else ["mmdebstrap", "--unshare-helper"]
    # Root's scratch space is in the cache, where the next run clears it; a mapped user cannot write there.
    environment = {**os.environ, "TMPDIR": str(target.parent)} if root else None
    with archived.open("rb") as source, target.open("wb") as image_file:
        done = subprocess.run(
            ["setpriv", "--pdeathsig", "TERM", "--", *helper, "sh", "-c", script],
            env=environment,
            stdin=source,
            stdout=image_file,
            stderr=subprocess.PIPE,
            check=False,
        )
    if done.returncode:
        raise LabFault(f"the file system could not be made: {done.stderr.decode(errors='replace').strip()}")
    _make_sparse(target)


def _write_base(staged: Path, target: Path) -> None:
    entries = [
        archive.file(
            str(path.relative_to(staged)),
            path.read_bytes(),
            executable=bool(path.stat().st_mode & stat.S_IXUSR),
        )
        for path in sorted(staged.rglob("*"))
        if path.is_file()
    ]
    entries += [archive.link(f"usr/bin/{applet}", "busybox") for applet in _BUSYBOX]
    entries += [archive.link(f"usr/bin/{tool}", "kmod") for tool in _KMOD]
    links = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "usr/sbin": "bin"}
    entries += [archive.link(path, to) for path, to in links.items()]
    entries.append(archive.link("usr/lib/systemd/systemd-udevd", "../../bin/udevadm"))
    entries += [archive.directory(path) for path in ("dev", "proc", "sys", "run", "tmp", "new_root")]
    entries.append(archive.file("etc/initrd-release", b"ID=dryboot\n"))
    entries.append(archive.file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"))
    entries.append(archive.file("etc/group", b"root:x:0:\n"))
    with target.open("wb") as stream:
        archive.write(entries, stream)


def _write_tiny(staged: Path, target: Path) -> None:
    entries = [
        archive.file("usr/bin/busybox", (staged / "usr/bin/busybox").read_bytes(), executable=True),
        archive.link("usr/bin/sh", "busybox"),
        archive.link("usr/bin/poweroff", "busybox"),
        archive.link("bin", "usr/bin"),
        archive.directory("dev"),
        # The kernel opens /dev/console before /init runs; without the node the echo would go nowhere.
        archive.Entry(path="dev/console", mode=stat.S_IFCHR | 0o600, device=(5, 1)),
        archive.file("init", _TINY_INIT, executable=True),
    ]
    with target.open("wb") as stream:
        archive.write(entries, stream)


def _make_sparse(path: Path) -> None:
    """Punch holes where blocks are zero: the copy that each run makes reads only what is there."""
    block = 1 << 20
    copy = path.with_suffix(".sparse")
    with path.open("rb") as source, copy.open("wb") as target:
        size = 0
        while data := source.read(block):
            size += len(data)
            for start in range(0, len(data), 4096):
                piece = data[start : start + 4096]
                if piece.count(0) == len(piece):
                    target.seek(len(piece), 1)
                else:
                    target.write(piece)
        target.truncate(size)
    copy.replace(path)
