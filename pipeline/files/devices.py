"""The `<devices>` of a libvirt domain that matter to passthrough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.errors import BadInput
from pipeline.files.element import Element
from pipeline.files.numbers import decimal, number
from pipeline.pci import Address
from pipeline.plan.model import Written
from pipeline.setup.domain import Disk, GuestAddress, HostDevice

# What the first letters of a target say where bus= is left out (libvirt src/conf/domain_conf.c).
_BUSES = {"hd": "ide", "sd": "scsi", "vd": "virtio", "xvd": "xen", "fd": "fdc", "ubd": "uml"}
# The names of `<os><boot dev=…>` for what a disk is.
_KINDS = {"hd": "disk", "cdrom": "cdrom", "fd": "floppy"}
# Widths in bits of the parts of a PCI address.
_HOST = {"domain": 32, "bus": 8, "slot": 5, "function": 3}


def host_devices(devices: Element | None) -> tuple[HostDevice, ...]:
    """PCI functions of the host: `<hostdev mode='subsystem' type='pci'>` and `<interface type='hostdev'>`."""
    found = []
    for element in devices.all("*") if devices else ():
        source = _pci_source(element)
        if source is None:
            continue
        rom, boot = element.child("rom"), element.child("boot")
        found.append(
            HostDevice(
                source=source,
                place=element.place,
                managed=element.get("managed") == "yes",
                address=_guest_address(element),
                rom_bar=_rom_bar(rom),
                rom_file=(rom.get("file") or "") if rom else "",
                boot=boot.number("order", decimal) if boot else None,
            )
        )
    return tuple(found)


def _pci_source(element: Element) -> Address | None:
    is_function = element.tag == "hostdev" and (element.get("mode"), element.get("type")) in {
        ("subsystem", "pci"),
        (None, "pci"),
    }
    is_interface = element.tag == "interface" and element.get("type") == "hostdev"
    if not (is_function or is_interface):
        return None
    for address in element.below("source", "address"):
        if address.get("type") in {None, "pci"}:
            parts = {key: _part(address, key, bits) for key, bits in _HOST.items()}
            return Address(parts["domain"], parts["bus"], parts["slot"], parts["function"])
    if is_interface:
        return None
    raise BadInput(
        "the hostdev does not say which function of the host it is",
        place=element.place,
        hint="<source><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source>",
    )


def _part(address: Element, key: str, bits: int) -> int:
    value = address.number(key, number) or 0
    if value >> bits:
        raise BadInput(
            f"{key}={address.get(key)!r} is out of range",
            place=address.at(key),
            hint=f"at most {(1 << bits) - 1:#x}",
        )
    return value


def _guest_address(element: Element) -> GuestAddress | None:
    for address in element.all("address"):
        if address.get("type") == "pci":
            return GuestAddress(
                bus=_part(address, "bus", 8),
                slot=_part(address, "slot", 5),
                function=_part(address, "function", 3),
                multifunction=address.get("multifunction") == "on",
            )
    return None


def _rom_bar(rom: Element | None) -> bool | None:
    """Whether the guest sees the ROM; `enabled='no'` takes it away altogether."""
    if rom is None:
        return None
    if rom.get("enabled") == "no":
        return False
    bar = rom.get("bar")
    return None if bar is None else bar == "on"


def disks(devices: Element | None, booted: Sequence[str]) -> tuple[Disk, ...]:
    """The disks, CD drives and floppies.

    `booted` are the names of `<os><boot dev=…>` in their order: libvirt gives each to one drive of its kind, so the
    place in the boot order is known where there is one of that kind only. They count for nothing beside an order at
    some device, which libvirt refuses.
    """
    found = [_disk(element) for element in (devices.all("disk") if devices else ())]
    orders: dict[int, int] = {}
    explicit = devices is not None and any(True for _ in devices.below("*", "boot"))
    for order, name in enumerate(dict.fromkeys(() if explicit else booted), 1):
        of_kind = [index for index, disk in enumerate(found) if disk.device == _KINDS.get(name)]
        if len(of_kind) == 1:
            orders[of_kind[0]] = order
    return tuple(
        Disk(
            path=disk.path,
            device=disk.device,
            bus=disk.bus,
            place=disk.place,
            boot=orders.get(index) if disk.boot is None else disk.boot,
        )
        for index, disk in enumerate(found)
    )


def _disk(element: Element) -> Disk:
    source, target, boot = (element.child(tag) for tag in ("source", "target", "boot"))
    device = element.get("device") or "disk"
    name = (target.get("dev") or "") if target else ""
    bus = (target.get("bus") if target else None) or _BUSES.get(name.rstrip("0123456789")[:-1], "")
    path, place = "", element.place
    for key in ("file", "dev", "dir", "volume", "name"):
        if source is not None and source.get(key):
            path, place = source.get(key) or "", source.at(key)
            break
    return Disk(
        path=path,
        device="disk" if device == "lun" else device,
        bus=bus,
        place=place,
        boot=boot.number("order", decimal) if boot else None,
    )


def videos(devices: Element | None) -> tuple[Written[str], ...]:
    """The models of `<video>`; `default` where none is named, and where `<graphics>` makes libvirt add one."""
    if devices is None:
        return ()
    found = tuple(_videos(devices))
    graphics = devices.child("graphics")
    if not found and graphics is not None:
        return (Written(value="default", place=graphics.place),)
    return found


def _videos(devices: Element) -> Iterator[Written[str]]:
    for video in devices.all("video"):
        model = video.child("model")
        yield Written(
            value=(model.get("type") if model else None) or "default",
            place=model.at("type") if model else video.place,
        )


def network_boots(devices: Element | None) -> tuple[Written[int], ...]:
    """The places of network cards in the boot order."""
    found = []
    for boot in devices.below("interface", "boot") if devices else ():
        order = boot.number("order", decimal)
        if order is not None:
            found.append(Written(value=order, place=boot.at("order")))
    return tuple(found)
