"""Builds an initramfs from a mkinitcpio configuration, for the machine that a board describes.

Reproduces what mkinitcpio v41 was measured to do with vfio: MODULES are added whatever autodetect drops, in
the order of the array; modconf copies modprobe.d; a module that the kernel lacks is an error and exit status
1 while the image is still written; `name?` makes it optional; softdeps of modprobe.d are not followed.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.lab.initcpio import archive
from pipeline.lab.initcpio.config import Config
from pipeline.lab.initcpio.modules import ModuleTree

INIT = Path(__file__).with_name("init.sh")
INDEXES = (
    "modules.dep.bin",
    "modules.alias.bin",
    "modules.softdep",
    "modules.builtin.bin",
    "modules.builtin.alias.bin",
    "modules.symbols.bin",
    "modules.devname",
    "modules.order",
)
# Hooks that add nothing which this board and its root file system need.
_WITHOUT_EFFECT = {
    "base",
    "udev",
    "microcode",
    "keymap",
    "consolefont",
    "sd-vconsole",
    "fsck",
    "shutdown",
    "resume",
}
_KEYBOARD = ("hid_generic", "usbhid", "xhci_pci", "atkbd", "i8042")
_FILESYSTEMS = ("ext4",)
_SIGNED = b"~Module signature appended~\n"
_SIGNATURE_INFO = struct.Struct(">8BI")
_TRACE_SECTION = b"__mcount_loc\0"
_XZ_MAGIC = b"\xfd7zXZ\0"
_KMS_PATH = "/drivers/gpu/drm/"
_BLOCK_PATHS = (
    "/drivers/block/",
    "/drivers/virtio/",
    "/drivers/nvme/",
    "/drivers/ata/",
    "/drivers/scsi/",
    "/drivers/mmc/",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """The outcome of a run: exit status, lines it would print, how its init differs from what was asked."""

    status: int
    messages: tuple[str, ...]
    stand_ins: tuple[str, ...]


@dataclass(slots=True)
class _Image:
    modules: set[str] = field(default_factory=set)
    entries: list[archive.Entry] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    stand_ins: list[str] = field(default_factory=list)
    status: int = 0

    def error(self, text: str) -> None:
        self.messages.append(f"==> ERROR: {text}")
        self.status = 1


def build(
    config: Config, *, host_root: Path, tree: ModuleTree, modaliases: Sequence[str], target: Path
) -> Built:
    """Write the part of the initramfs that depends on the configuration to `target`.

    `host_root` holds the host's /etc as rendered; `modaliases` are those of the machine's devices, which
    autodetect and kms look at. Never raises for what the configuration gets wrong: that is in the result.
    """
    image = _Image()
    for hook in config.hooks:
        _hook(hook, config, image, host_root, tree, modaliases)
    early = list(_early_modules(config, image, tree))
    image.entries += _files(config, image, host_root)
    image.entries.append(archive.file("init", INIT.read_bytes(), executable=True))
    image.entries.append(archive.file("dryboot-modules", f"early_modules='{' '.join(early)}'\n".encode()))
    image.entries += _module_entries(tree, image.modules)
    image.entries.append(archive.directory("new_root"))
    with target.open("wb") as stream:
        archive.write(image.entries, stream)
    if image.status:
        image.messages.append(
            "==> WARNING: errors were encountered during the build. The image may not be complete."
        )
    return Built(status=image.status, messages=tuple(image.messages), stand_ins=tuple(image.stand_ins))


def _hook(
    hook: str, config: Config, image: _Image, host_root: Path, tree: ModuleTree, modaliases: Sequence[str]
) -> None:
    machine = (name for modalias in modaliases for name in tree.for_modalias(modalias))
    autodetect = "autodetect" in config.hooks
    match hook:
        case "modconf":
            for directory in ("usr/lib/modprobe.d", "etc/modprobe.d"):
                for path in sorted((host_root / directory).glob("*.conf")):
                    image.entries.append(archive.file(f"{directory}/{path.name}", path.read_bytes()))
        case "kms":
            image.modules |= tree.files(_below(tree, machine, (_KMS_PATH,)))
        case "block":
            image.modules |= tree.files(_below(tree, machine, _BLOCK_PATHS))
        case "filesystems":
            image.modules |= tree.files(_FILESYSTEMS)
        case "keyboard":
            image.modules |= tree.files(_KEYBOARD)
        case "autodetect":
            pass
        case "systemd":
            image.stand_ins.append(
                "HOOKS asks for systemd's init in the initramfs; the one of the udev hook ran, which loads MODULES "
                "before the udev trigger (systemd leaves the two unordered)"
            )
        case _ if hook in _WITHOUT_EFFECT:
            pass
        case _:
            image.error(f"Hook '{hook}' cannot be found")
    if not autodetect and hook in {"kms", "block"}:
        note = f"without autodetect the real {hook} hook adds every driver; here those of the board"
        if note not in image.stand_ins:
            image.stand_ins.append(note)


def _below(tree: ModuleTree, names: Iterable[str], folders: Sequence[str]) -> Iterator[str]:
    return (name for name in names if any(folder in f"/{tree.path_of(name)}" for folder in folders))


def _early_modules(config: Config, image: _Image, tree: ModuleTree) -> Iterator[str]:
    for written in config.modules:
        name = written.removesuffix("?")
        if not tree.has(name):
            if not written.endswith("?"):
                image.error(f"module not found: '{name}'")
            continue
        image.modules |= tree.files([name])
        yield name


def _files(config: Config, image: _Image, host_root: Path) -> Iterator[archive.Entry]:
    for name in config.files:
        path = host_root / name.lstrip("/")
        if ".." in name.split("/") or not path.is_file():
            image.error(f"file not found: '{name}'")
            continue
        yield archive.file(name.lstrip("/"), path.read_bytes())
    for name in config.binaries:
        image.error(f"BINARIES are not supported by this substitute: '{name}'")


def _module_entries(tree: ModuleTree, paths: Iterable[str]) -> Iterator[archive.Entry]:
    base = f"usr/lib/modules/{tree.release}"
    for path in sorted(paths):
        yield archive.file(f"{base}/{path}", _unpacked((tree.directory / path).read_bytes()))
    for name in INDEXES:
        index = tree.directory / name
        if index.exists():
            yield archive.file(f"{base}/{name}", index.read_bytes())


def _unpacked(module: bytes) -> bytes:
    """A module without compression, signature and table of trace points.

    With amdgpu on an emulated processor that saves some 15 s of a boot: for each trace point the kernel searches
    all symbols of the module (kernel/trace/ftrace.c test_for_valid_rec(); sampled, 6.12). What the module does
    is the same. The file keeps its name: kmod goes by the first bytes, not by the name (libkmod-file.c).
    """
    plain = lzma.decompress(module) if module.startswith(_XZ_MAGIC) else module
    if plain.endswith(_SIGNED):
        # struct module_signature (include/linux/module_signature.h) lies between signature and marker.
        end = len(plain) - len(_SIGNED) - _SIGNATURE_INFO.size
        *_, size = _SIGNATURE_INFO.unpack_from(plain, end)
        plain = plain[: end - size]
    return plain.replace(_TRACE_SECTION, _TRACE_SECTION.replace(b"mcount", b"ignore"))
