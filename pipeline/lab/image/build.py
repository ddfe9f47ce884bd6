"""Makes an image of a shaped root file system: its ext4, and the archives that are made from it.

The same archive gives the same bytes, whoever makes it and wherever: the tools are the hermetic ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab import tools
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import EPOCH, Package, write_lock
from pipeline.lab.image import LABEL, UUID, HostImage
from pipeline.lab.initcpio import archive

# Said in the name of every image: what is made here changes with it.
VERSION = 1
SIZE = "1200M"
SHAPE = Path(__file__).with_name("shape.sh")
UNTRACED = Path(__file__).with_name("untraced.py")
# It lives for one run; without checksums its UUID can be changed.
_FEATURES = "^has_journal,^metadata_csum"
_KMOD = ("modprobe", "insmod", "lsmod")
_BUSYBOX = ("sh", "mount", "cat", "sleep", "reboot", "poweroff", "switch_root", "echo", "mkdir", "umount")
_TINY_INIT = b"#!/bin/sh\nexport PATH=/usr/bin\necho DRYBOOT-RAN >/dev/console\npoweroff -f\n"
_GENERATORS = {
    "mkinitcpio": ("usr/bin/mkinitcpio",),
    "dracut": ("usr/bin/dracut", "usr/sbin/dracut"),
    "initramfs-tools": ("usr/sbin/mkinitramfs", "usr/bin/mkinitramfs"),
}


def made_by() -> tuple[object, ...]:
    """What every image is made with, for its name in the cache."""
    return VERSION, SIZE, LABEL, UUID, tools.name(), _BUSYBOX, _TINY_INIT, _inputs()


def _inputs() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in (SHAPE, UNTRACED)]


def finish(
    fresh: Path, archived: Path, *, packages: Sequence[Package], distribution: str, progress: Progress
) -> None:
    """Make the image in `fresh` from a tar archive of a shaped root file system, which is removed.

    Raises LabFault.
    """
    tree = fresh / "tree"
    tree.mkdir()
    _unpack(archived, tree)
    release, kernel = _kernel(tree)
    shutil.copyfile(kernel, fresh / "vmlinuz")
    staged = tree / ".dryboot"
    _write_base(staged / "base", fresh / "base.cpio")
    _write_tiny(staged / "base", fresh / "tiny.cpio")
    (staged / "efi/grubx64.efi").rename(fresh / "grubx64.efi")
    shutil.rmtree(staged)
    progress("making its file system")
    _make_file_system(archived, fresh / "root.ext4", progress)
    archived.unlink()
    write_lock(fresh, sorted(set(packages)), release=release, distribution=distribution)


def load(path: Path, *, own: str) -> HostImage:
    """The finished image at `path`. `own`: see HostImage."""
    lock = json.loads((path / "lock.json").read_text())
    packages = tuple(
        Package(name=name, version=version, architecture=architecture, sha256=sha256)
        for name, version, architecture, sha256 in lock["packages"]
    )
    tree = path / "tree"
    return HostImage(
        name=path.name,
        root=path / "root.ext4",
        tree=tree,
        kernel=path / "vmlinuz",
        release=lock["release"],
        base=path / "base.cpio",
        tiny=path / "tiny.cpio",
        grub=path / "grubx64.efi",
        distribution=lock["distribution"],
        packages={package.name: package.version for package in packages},
        lock=packages,
        own=own,
        generators=generators(tree),
    )


def generators(tree: Path) -> frozenset[str]:
    """The tools for an initramfs that a root file system has."""
    return frozenset(
        name for name, paths in _GENERATORS.items() if any((tree / path).is_file() for path in paths)
    )


def shaped(tree: Path, archived: Path, *, scratch: Path, progress: Progress) -> None:
    """Shape the root file system in `tree` and write it to the tar archive `archived`. Needs root.

    Raises LabFault.
    """
    progress("leaving only the units that the checks need")
    (tree / ".dryboot-label").write_text(LABEL)
    folder = scratch / "shape"
    folder.mkdir()
    shutil.copyfile(SHAPE, folder / "shape.sh")
    mounts = "mount -t proc proc /tree/proc; mount --rbind /dev /tree/dev; "
    done = tools.run(
        ["sh", "-euc", f"{mounts} sh /shape/shape.sh /tree"],
        scratch=scratch,
        binds={tree: "/tree", folder: "/shape"},
        progress=progress,
    )
    tools.demand(done, "the image could not be shaped")
    shutil.rmtree(folder)
    from pipeline.lab.image import untraced

    try:
        untraced.main(tree)
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabFault(f"the image's modules could not be indexed: {error}") from error
    _forget_times(tree)
    pack(tree, archived, scratch=scratch, progress=progress)


def pack(tree: Path, archived: Path, *, scratch: Path, progress: Progress) -> None:
    """Write `tree` to a tar archive: sorted, with numeric owners, nothing later than EPOCH."""
    options = [
        *("--sort=name", "--numeric-owner", "--xattrs", "--xattrs-include=*", f"--mtime=@{EPOCH}"),
        *(
            "--clamp-mtime",
            "--format=pax",
            "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
        ),
        *(
            "--exclude=./dev/*",
            "--exclude=./proc/*",
            "--exclude=./sys/*",
            "--exclude=./run/*",
            "--exclude=./tmp/*",
        ),
    ]
    done = tools.run(
        ["tar", "-C", "/tree", "-cf", f"/out/{archived.name}", *options, "."],
        scratch=scratch,
        binds={tree: "/tree", archived.parent: "/out"},
        progress=progress,
    )
    tools.demand(done, "the image could not be packed")


def _forget_times(tree: Path) -> None:
    """What says when and where the tree was made: pacman's own records, caches by inode, ids of this one copy."""
    for description in (tree / "var/lib/pacman/local").glob("*/desc"):
        text = description.read_text(encoding="utf-8")
        description.write_text(re.sub(r"(?m)(?<=^%INSTALLDATE%\n)\d+$", str(EPOCH), text), encoding="utf-8")
    for name in ("var/cache/ldconfig/aux-cache", "var/lib/systemd/random-seed", "etc/machine-id"):
        (tree / name).unlink(missing_ok=True)


def _kernel(tree: Path) -> tuple[str, Path]:
    """Release and image of the only kernel: by its package's place, else by its name in /boot."""
    modules = tree / "usr/lib/modules"
    found = {path.parent.name: path for path in modules.glob("*/vmlinuz")}
    releases = [path.name for path in modules.iterdir() if path.is_dir()] if modules.is_dir() else []
    for release in releases:
        if (path := tree / "boot" / f"vmlinuz-{release}").is_file():
            found.setdefault(release, path)
    images = sorted((tree / "boot").glob("vmlinuz*"))
    if not found and len(releases) == len(images) == 1:
        found[releases[0]] = images[0]
    if len(found) != 1:
        raise LabFault(
            f"the image has {len(found)} kernels: {', '.join(sorted(found)) or 'none with modules'}"
        )
    return next(iter(found.items()))


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


def _make_file_system(archived: Path, target: Path, progress: Progress) -> None:
    """Turn the tar archive into ext4 with its owners kept."""
    script = (
        f"bsdtar -cf - --exclude ./.dryboot @/work/{archived.name} | "
        f"mke2fs -q -t ext4 -L {LABEL} -U {UUID} -E hash_seed={UUID} -O {_FEATURES} -d - /work/{target.name} {SIZE}"
    )
    done = tools.run(
        ["bash", "-euo", "pipefail", "-c", script],
        scratch=target.parent,
        binds={target.parent: "/work"},
        progress=progress,
    )
    tools.demand(done, "the file system could not be made")


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
