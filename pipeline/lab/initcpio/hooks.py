"""What the hooks of mkinitcpio put into an image, as far as it decides who gets a PCI function.

Source: the install/ files of archlinux/mkinitcpio v41, and of the packages that add hooks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pipeline.facts.initramfs import hooks as known_hooks
from pipeline.lab.initcpio.modules import ModuleTree

# L1's root file system, which autodetect finds by its name (fs-ext4).
_ROOT_TYPE = "ext4"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Modules:
    """Modules of a hook: `always` by name; by path all of `patterns`, or after autodetect the machine's of them."""

    always: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    without: str = ""


_USB_HOST = _Modules(patterns=("/usb/host",), without="(_cs|sl811_hcd|isp116x_hcd)")
_MODULES = MappingProxyType(
    {
        "block": (
            _Modules(
                always=(
                    "ahci",
                    "sd_mod",
                    "usb_storage",
                    "uas",
                    "mmc_block",
                    "nvme",
                    "virtio_scsi",
                    "virtio_blk",
                ),
                patterns=(
                    "/(block|ata|scsi|fusion|nvme)/",
                    "/drivers/(usb/storage|firewire|spi|regulator|nvdimm|pci/controller|mfd|clk|phy|ufs)/",
                    "/(drivers/mmc|tifm_)",
                    "virtio",
                ),
            ),
            _USB_HOST,
        ),
        "filesystems": (_Modules(patterns=("/kernel/fs",), without="nls"),),
        "keyboard": (
            _USB_HOST,
            _Modules(always=("usbhid",), patterns=("/hid/hid", "/input/(serio|keyboard)")),
        ),
        "kms": (_Modules(patterns=("/drivers/char/agp/", "/drivers/gpu/drm/")),),
        "mdadm_udev": (_Modules(patterns=("drivers/md/",), without="dm-"),),
        "net": (_Modules(patterns=("/drivers/net/",)),),
        "resume": (_Modules(always=("crypto-lzo", "crypto-lz4")),),
        "systemd": (_Modules(always=("crypto-lzo", "crypto-lz4")),),
    }
)
# Names under which older configurations have a hook of today.
_OLD_NAMES = MappingProxyType(
    dict.fromkeys(("mmc", "pata", "sata", "usb", "virtio"), "block") | {"usbinput": "keyboard"}
)
# They add no driver of a PCI function, and the root of L1 is found and mounted without them.
_WITHOUT_EFFECT = frozenset(
    {
        *(
            "base",
            "udev",
            "autodetect",
            "modconf",
            "microcode",
            "fsck",
            "keymap",
            "consolefont",
            "sd-vconsole",
        ),
        *("shutdown", "sd-shutdown", "hostdata", "strip", "usr", "sleep", "uresume"),
    }
)


@dataclass(slots=True)
class Chosen:
    """What the hooks chose: module names, what stands in; `modconf` asks for modprobe.d."""

    modules: set[str] = field(default_factory=set)
    stand_ins: list[str] = field(default_factory=list)
    modconf: bool = False
    autodetect: bool = False


def run(hook: str, chosen: Chosen, tree: ModuleTree, machine: Iterable[str]) -> bool:
    """Run a hook; whether there is one of that name. `machine` are the modules that claim its devices."""
    hook = _OLD_NAMES.get(hook, hook)
    if hook == "autodetect":
        chosen.autodetect = True
    elif hook == "modconf":
        chosen.modconf = True
    for group in _MODULES.get(hook, ()):
        _add(group, chosen, tree, frozenset(machine))
    if hook in _MODULES or hook in _WITHOUT_EFFECT:
        return True
    if hook in known_hooks("mkinitcpio"):
        chosen.stand_ins.append(
            f"the hook {hook} is passed over: L1's root is a plain ext4 file system, so nothing needs it there; "
            "what it does on the host is not seen"
        )
        return True
    return False


def _add(group: _Modules, chosen: Chosen, tree: ModuleTree, machine: frozenset[str]) -> None:
    without = re.compile(group.without) if group.without else None
    by_path: set[str] = set()
    for pattern in group.patterns:
        by_path |= tree.matching(re.compile(pattern), without=without)
    chosen.modules.update(group.always)
    chosen.modules |= by_path & machine if chosen.autodetect else by_path


def of_machine(tree: ModuleTree, modaliases: Sequence[str]) -> frozenset[str]:
    """What autodetect finds: modules that claim a device of the machine, and that of its root file system."""
    claimed = {name for modalias in modaliases for name in tree.for_modalias(modalias)}
    return frozenset(claimed | tree.named(f"fs-{_ROOT_TYPE}") | tree.named(_ROOT_TYPE))
