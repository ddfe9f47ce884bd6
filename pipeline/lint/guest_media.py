"""DB92x: what the guest boots from."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import Place
from pipeline.lint.finding import Severity
from pipeline.lint.receiving import receiving
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup
from pipeline.setup.domain import Disk, Domain

# The names of `<os><boot dev=…>` for what a disk is.
_KINDS = {"hd": "disk", "cdrom": "cdrom", "fd": "floppy"}
_XML = "libvirt docs/formatdomain.rst, Operating system booting and Hard drives, floppy disks, CDROMs"


@rule("DB921", holds="every libvirt", source=f"{_XML}; src/conf/domain_postparse.c")
def same_order(setup: Setup) -> Iterator[Problem]:
    """Two devices have the same place in the boot order.

    libvirt does not take such a domain: "boot order used for more than one device". The numbers need not follow each
    other; the smallest comes first.
    """
    for domain in setup.domains:
        seen: dict[int, Place] = {}
        for order, place in _orders(domain):
            if order in seen:
                yield Problem(
                    severity=Severity.ERROR,
                    place=place,
                    found=f"boot order {order} stands at two devices of {domain.name}",
                    why="libvirt does not take such a domain",
                    fix=f"another number; the first is at {seen[order]}",
                )
            seen.setdefault(order, place)


def _orders(domain: Domain) -> Iterator[tuple[int, Place]]:
    yield from ((disk.boot, disk.place) for disk in domain.disks if disk.boot is not None)
    yield from ((device.boot, device.place) for device in domain.host_devices if device.boot is not None)
    yield from ((one.value, one.place) for one in domain.network_boots)


@rule("DB922", holds="every libvirt", source=f"{_XML}; src/conf/domain_postparse.c")
def two_orders(setup: Setup) -> Iterator[Problem]:
    """The boot order stands at devices and in `<os>` at once.

    libvirt takes one of them only: "per-device boot elements cannot be used together with os/boot elements".
    """
    for domain in setup.domains:
        if domain.boot_devices and _ordered_by_device(domain):
            yield Problem(
                severity=Severity.ERROR,
                place=domain.boot_devices[0].place,
                found=f"{domain.name} has <boot dev=…> in <os> beside <boot order=…> at devices",
                why="libvirt does not take such a domain",
                fix="take <boot dev=…> out of <os>",
            )


def _ordered_by_device(domain: Domain) -> bool:
    """Whether some device has an order that does not come from `<os>`."""
    if domain.network_boots or any(device.boot is not None for device in domain.host_devices):
        return True
    kinds = [_KINDS.get(name) for name in dict.fromkeys(one.value for one in domain.boot_devices)]
    return any(
        disk.boot is not None and kinds[disk.boot - 1 : disk.boot] != [disk.device] for disk in domain.disks
    )


@rule("DB923", holds="every libvirt", source=f"{_XML}; edk2 OvmfPkg/Library/QemuBootOrderLib")
def no_order(setup: Setup) -> Iterator[Problem]:
    """The domain has a medium in its CD drive, and no boot order.

    libvirt then writes `<boot dev='hd'/>`: the first disk, and nothing else. OVMF leaves out what QEMU's order leaves
    out, so the medium is not tried even where the disk is empty.
    """
    for domain in receiving(setup):
        media = _media(domain)
        ordered = domain.boot_devices or any(True for _ in _orders(domain))
        if media and not ordered:
            yield Problem(
                severity=Severity.NOTE,
                place=media[0].place,
                found=f"{domain.name} has no boot order, so it boots its first disk only",
                why=f"{_name(media[0])} is not tried, even where the disk is empty",
                fix="write <boot order='1'/> into the disk to install from, <boot order='2'/> into the system's",
            )


@rule("DB924", holds="every libvirt", source=f"{_XML}; src/qemu/qemu_command.c, qemuBuildDisksCommandLine()")
def order_ambiguous(setup: Setup) -> Iterator[Problem]:
    """`<boot dev='cdrom'/>` stands for one of several CD drives.

    libvirt gives it to the first only, by the name of its target; the other drives are never booted.
    """
    for domain in receiving(setup):
        media = _media(domain)
        for one in domain.boot_devices:
            if one.value == "cdrom" and len(media) > 1:
                yield Problem(
                    severity=Severity.NOTE,
                    place=one.place,
                    found=f"boot dev='cdrom' means one of {len(media)} drives: {_name(media[0])}",
                    why=f"{', '.join(_name(disk) for disk in media[1:])} cannot be booted",
                    fix="write <boot order='…'/> into each device to boot, and take <boot dev='…'/> out of <os>",
                )


@rule("DB925", holds="every Windows", source="virtio-win; libvirt docs/formatdomain.rst, Hard drives")
def no_virtio_driver(setup: Setup) -> Iterator[Problem]:
    """Windows shall be installed on a virtio disk, and no medium has the driver.

    Windows brings no driver for virtio: its installer shows an empty list of disks. A second CD drive with
    virtio-win.iso lets one load it there.
    """
    for domain in receiving(setup):
        media = _media(domain)
        if not (domain.os or "").startswith("windows") or not _installs(domain, media):
            continue
        if any("virtio" in disk.path.lower() for disk in media):
            continue
        for disk in domain.disks:
            if disk.device == "disk" and disk.bus == "virtio":
                yield Problem(
                    severity=Severity.NOTE,
                    place=disk.place,
                    found=f"{_name(disk)} is a virtio disk, and no CD drive has its driver",
                    why="the installer of Windows does not see the disk",
                    fix="put virtio-win.iso into a second CD drive, or install on sata",
                )


def _installs(domain: Domain, media: tuple[Disk, ...]) -> bool:
    """Whether a CD comes before every disk in the boot order, as it does for an installation only."""
    first = min((disk.boot for disk in media if disk.boot is not None), default=None)
    others = [disk.boot for disk in domain.disks if disk.device == "disk" and disk.boot is not None]
    if first is None:
        return [one.value for one in domain.boot_devices][:1] == ["cdrom"] and bool(media)
    return all(first < other for other in others)


def _media(domain: Domain) -> tuple[Disk, ...]:
    """The CD drives with something in them."""
    return tuple(disk for disk in domain.disks if disk.device == "cdrom" and disk.path)


def _name(disk: Disk) -> str:
    return disk.path.rpartition("/")[2] or disk.path or "the disk"


RULES: tuple[Rule, ...] = (same_order, two_orders, no_order, order_ambiguous, no_virtio_driver)
