"""L1 from a root file system of the user's own: a directory, a tar archive, or an image in an OCI layout."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pipeline.errors import BadInput, LabFault
from pipeline.lab import cache, tools
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import Package
from pipeline.lab.image import HostImage, build, oci

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
# What a host in the lab cannot do without: for people, and where it may be.
_NEEDED = {
    "a kernel's modules (usr/lib/modules)": ("usr/lib/modules/*/kernel",),
    "a kernel (usr/lib/modules/RELEASE/vmlinuz or boot/vmlinuz-RELEASE)": (
        "usr/lib/modules/*/vmlinuz",
        "boot/vmlinuz*",
    ),
    "systemd": ("usr/lib/systemd/systemd",),
    "udev": ("usr/bin/udevadm",),
    "kmod": ("usr/bin/kmod",),
    "busybox": ("usr/bin/busybox", "usr/lib/initcpio/busybox"),
    "an ssh server": ("usr/bin/sshd", "usr/sbin/sshd"),
    "ip (iproute2)": ("usr/bin/ip", "usr/sbin/ip"),
    "grub-mkconfig": ("usr/bin/grub-mkconfig", "usr/sbin/grub-mkconfig"),
    "GRUB for EFI (usr/lib/grub/x86_64-efi)": ("usr/lib/grub/x86_64-efi",),
    "libvirtd": ("usr/bin/libvirtd", "usr/sbin/libvirtd"),
    "qemu-system-x86_64": ("usr/bin/qemu-system-x86_64",),
}
_EXTRACT = (
    "tar -x -C /tree --numeric-owner --xattrs --xattrs-include='*' --exclude='.wh.*' --exclude='./dev/*' -f "
)


def name(source: Path) -> str:
    """The cache's name for the image of `source`: changes with what is there. Raises BadInput where nothing is."""
    return cache.key("rootfs", _content(source), *build.made_by())


def image(
    source: Path, progress: Progress, *, accept: Callable[[Sequence[Package]], None] = lambda _: None
) -> HostImage:
    """The image from the cache, made of `source` first if need be (a minute).

    `accept` sees what it is before the image is made: one package, the shaped root file system. Raises BadInput for
    what cannot be a host in the lab, naming all that is missing, LabFault.
    """
    path = cache.prepared("images", name(source), lambda fresh: _build(source, fresh, progress, accept))
    return build.load(path, own=_identifier(path / "tree"))


def missing(tree: Path) -> tuple[str, ...]:
    """What a root file system lacks to be a host in the lab, for people."""
    return tuple(what for what, places in _NEEDED.items() if not any(_there(tree, place) for place in places))


def hidden(members: Sequence[str]) -> tuple[str, ...]:
    """The paths of lower layers that a layer with these members takes away.

    `DIR/*` stands for all that is in a directory. Source: OCI image specification, layer.md. Raises BadInput for a
    path that leads out of the root.
    """
    found = []
    for member in members:
        path = PurePosixPath(member)
        if path.is_absolute() or ".." in path.parts:
            raise BadInput(f"a layer has the path {member!r}, which leads out of it")
        if path.name == _OPAQUE:
            found.append(str(path.parent / "*"))
        elif path.name.startswith(_WHITEOUT):
            found.append(str(path.with_name(path.name.removeprefix(_WHITEOUT))))
    return tuple(found)


def _there(tree: Path, place: str) -> bool:
    found = tree.glob(place) if "*" in place else (tree / place,)
    # An absolute link leads out of the tree here, but not in the host.
    return any(path.exists() or path.is_symlink() for path in found)


def _content(source: Path) -> object:
    if not source.exists():
        raise BadInput(f"there is nothing at {source}", hint="--image rootfs:PATH")
    if source.is_dir() and oci.is_layout(source):
        return [layer.digest for layer in oci.layers(source)]
    if source.is_dir():
        digest = hashlib.sha256()
        for line in _listing(source):
            digest.update(line.encode(errors="surrogateescape"))
        return str(source.resolve()), digest.hexdigest()
    status = source.stat()
    return str(source.resolve()), status.st_size, status.st_mtime_ns


def _listing(folder: Path) -> Iterator[str]:
    """Every file with its size and the time of its last change: all that can be read in no time."""
    for root, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted((*folders, *files)):
            status = os.lstat(Path(root, file))
            yield f"{root}/{file}\0{status.st_mode}\0{status.st_size}\0{status.st_mtime_ns}\n"


def _build(
    source: Path, fresh: Path, progress: Progress, accept: Callable[[Sequence[Package]], None]
) -> None:
    if os.geteuid():
        raise LabFault("a root file system can only be unpacked by root: its files belong to many users")
    progress(f"building the L1 image from {source} (a minute)")
    work = fresh / "work"
    tree = work / "tree"
    tree.mkdir(parents=True)
    if source.is_dir() and not oci.is_layout(source):
        _copy(source, tree, work, progress)
    else:
        blobs = [layer.path for layer in oci.layers(source)] if source.is_dir() else [source]
        for blob in blobs:
            _extract(blob, tree, work, progress)
    if absent := missing(tree):
        raise BadInput(
            f"{source} cannot be a host in the lab; it lacks " + "; ".join(absent),
            hint="install what is missing and export it again; /usr has to be merged",
        )
    archived = fresh / "root.tar"
    build.shaped(tree, archived, scratch=work, progress=progress)
    shutil.rmtree(work)
    with archived.open("rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    packages = (Package(name="rootfs", version=checksum[:12], architecture="x86_64", sha256=checksum),)
    accept(packages)
    build.finish(fresh, archived, packages=packages, distribution=f"the root of {source}", progress=progress)


def _copy(source: Path, tree: Path, work: Path, progress: Progress) -> None:
    done = tools.run(
        [
            "sh",
            "-euc",
            "tar -C /source --one-file-system --xattrs --xattrs-include='*' -c . | " + _EXTRACT + "-",
        ],
        scratch=work,
        binds={source.resolve(): "/source", tree: "/tree"},
        progress=progress,
    )
    tools.demand(done, f"{source} could not be copied")


def _extract(blob: Path, tree: Path, work: Path, progress: Progress) -> None:
    """Put a layer over the tree: first away with what it hides or replaces by another kind, then its files."""
    plain = work / "layer.tar"
    seen = {blob.parent.resolve(): "/blob", work: "/work", tree: "/tree"}

    def run(script: str, *arguments: str) -> tuple[int, str]:
        return tools.run(
            ["sh", "-euc", script, "layer", *arguments], scratch=work, binds=seen, progress=progress
        )

    status, text = run('bsdtar --format=pax -cf /work/layer.tar "@/blob/$1"', blob.name)
    if status:
        raise BadInput(f"{blob} is no tar archive that can be read: {text.strip()[-300:]}")
    try:
        with tarfile.open(plain) as archive:
            members = [(one.name, one.isdir()) for one in archive]
    except tarfile.TarError as error:
        raise BadInput(f"{blob} is no tar archive that can be read: {error}") from error
    gone = hidden([member for member, _ in members])
    # In the tools' own root, so that a link in the tree leads nowhere on this machine.
    doomed = [f"{path}\0" for path in gone]
    doomed += [f"{path}\0" for path, folder in members if not folder and _is_folder(tree / path)]
    (work / "gone").write_text("".join(doomed), encoding="utf-8", errors="surrogateescape")
    script = (
        "cd /tree; while IFS= read -r -d '' path; do case $path in "
        '*/\\*|\\*) d=${path%\\*}; [ ! -d "./$d" ] || find "./$d" -mindepth 1 -delete ;; '
        '*) rm -rf -- "./$path" ;; esac; done < /work/gone; '
    )
    status, text = tools.run(
        ["bash", "-euc", script + _EXTRACT + "/work/layer.tar"], scratch=work, binds=seen, progress=progress
    )
    if status:
        kind = LabFault if "No space left on device" in text else BadInput
        raise kind(f"{blob} could not be unpacked: {text.strip()[-500:]}")
    plain.unlink()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _identifier(tree: Path) -> str:
    """The distribution's name of itself, as os-release(5) has it."""
    release = tree / "usr/lib/os-release"
    lines = release.read_text(encoding="utf-8", errors="replace").splitlines() if release.is_file() else []
    return next((line.removeprefix("ID=").strip("\"'") for line in lines if line.startswith("ID=")), "")
