"""Packs the files of Debian's L1 as pacman packages under Arch's names: a small mirror with a host that boots."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.facts.mirrors import mirrors
from pipeline.lab.image import HostImage
from tests.pacman import repository
from tests.pacman.repository import Key

# By the beginnings of their paths; whatever is left is `base`.
_PARTS = {
    "linux612": ("usr/lib/modules/", "boot/"),
    "systemd": ("usr/lib/systemd/", "usr/lib/udev/", "usr/bin/udevadm", "usr/bin/systemctl"),
    "openssh": ("usr/sbin/sshd", "etc/ssh/", "usr/lib/openssh/"),
    "libvirt": ("usr/sbin/libvirtd", "usr/lib/x86_64-linux-gnu/libvirt", "usr/share/libvirt/"),
    "qemu-system-x86": ("usr/bin/qemu-system-", "usr/share/qemu/", "usr/share/seabios/"),
    "grub": ("usr/lib/grub/", "usr/share/grub/", "etc/grub.d/", "usr/bin/grub-", "usr/sbin/grub-"),
    "busybox": ("usr/bin/busybox",),
    "zstd": ("usr/bin/zstd",),
    "swtpm": ("usr/bin/swtpm",),
    "pciutils": ("usr/bin/lspci", "usr/bin/setpci"),
}


def mirror(folder: Path, image: HostImage, key: Key) -> str:
    """Make the mirror below `folder` and return its address."""
    core, extra = (folder / f"stable/{name}/x86_64" for name in ("core", "extra"))
    core.mkdir(parents=True)
    extra.mkdir(parents=True)
    files = sorted(
        path.relative_to(image.tree).as_posix()
        for path in image.tree.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )
    left = set(files)
    packages = []
    for name, beginnings in _PARTS.items():
        mine = [file for file in files if file.startswith(beginnings)]
        left -= set(mine)
        wanted = [file for file in mine if not file.startswith("boot/")]
        packages.append(_package(core, name, image.tree, wanted))
    kernel = folder / "kernel"
    (kernel / f"usr/lib/modules/{image.release}").mkdir(parents=True)
    shutil.copyfile(image.kernel, kernel / f"usr/lib/modules/{image.release}/vmlinuz")
    packages.append(repository.package(core, kernel, name="linux612-image"))
    shutil.rmtree(kernel)
    firmware = folder / "firmware"
    target = firmware / "usr/share/edk2/x64"
    target.mkdir(parents=True)
    for kind in ("CODE", "VARS"):
        shutil.copyfile(image.tree / f"usr/share/OVMF/OVMF_{kind}_4M.fd", target / f"OVMF_{kind}.4m.fd")
    packages.append(repository.package(core, firmware, name="edk2-ovmf"))
    shutil.rmtree(firmware)
    base = sorted(file for file in left if not file.startswith(("boot/", "dev/")))
    folders = ["home", "mnt", "opt", "root", "srv", "var/log", "var/lib/libvirt", "var/cache"]
    there = [one for one in folders if (image.tree / one).is_dir()]
    packages.append(_package(core, "base", image.tree, base, folders=there))
    empty = folder / "empty"
    empty.mkdir()
    # The program itself is not Debian's to give: the image has none, and the substitute plays it.
    known = {path.name.split("-1-1")[0] for path in packages}
    for name in sorted({*mirrors("manjaro").packages} - known):
        packages.append(repository.package(core, empty, name=name))
    for path in packages:
        key.sign(path)
    repository.database(core, "core", packages)
    repository.database(extra, "extra")
    return f"file://{folder}"


def _package(
    folder: Path, name: str, tree: Path, files: Sequence[str], *, folders: Sequence[str] = ()
) -> Path:
    """As repository.package, by tar and zstd: these are large."""
    path = folder / f"{name}-1-1-x86_64.pkg.tar.zst"
    needed = {"linux612": "linux612-image", "base": "systemd"}.get(name)
    depends = f"depend = {needed}\n" if needed else ""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, ".PKGINFO").write_text(
            f"pkgname = {name}\npkgbase = {name}\npkgver = 1-1\npkgdesc = of a test\nurl = https://example.invalid\n"
            f"builddate = 1\npackager = tests\nsize = 1\narch = x86_64\n{depends}"
        )
        Path(scratch, "files").write_text("".join(f"{file}\0" for file in [*folders, *files]))
        plain = Path(scratch, "plain.tar")
        first = ["tar", "--format=pax", "-cf", str(plain), "-C", scratch, ".PKGINFO", "-C", str(tree)]
        subprocess.run([*first, "--no-recursion", "--null", f"--files-from={scratch}/files"], check=True)
        subprocess.run(["zstd", "-q", "-1", "-T2", str(plain), "-o", str(path)], check=True)
    return path
