"""The libvirt domain of the guest, as XML.

The firmware is named by its path: `firmware='efi'` lets libvirt choose, and it may choose an image with
Secure Boot keys enrolled, which refuses an unsigned boot medium. Every PCI controller and address is written
out, so that libvirt has nothing to assign and the guest's hardware stays the same over updates of the host.

There is no emulated screen: with one in the guest, the firmware and Windows' installer use it and leave the
passed-through card dark. The serial line is logged for the same reason: it is all that can be read then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from pipeline.errors import BadInput
from pipeline.plan import Plan
from pipeline.plan.model import GuestPlan, PlannedDisk, PlannedHostDevice

if TYPE_CHECKING:
    from lxml.etree import _Element

EMULATOR = "/usr/bin/qemu-system-x86_64"
LOG_DIRECTORY = "/var/log/libvirt/qemu"
SPARE_PORTS = 2

_NAMESPACE = UUID("6b1f1a52-5f0e-4c8e-9f43-0c2b8d6c1f7a")
_FUNCTIONS_PER_SLOT = 8
_FIRST_PORT_SLOT = 1


def identity(plan: Plan) -> UUID:
    """The guest's UUID: the same for the same scenario and guest, so that a rebuild redefines it."""
    return uuid5(_NAMESPACE, f"{plan.name}/{plan.guest.name}")


def mac_address(plan: Plan) -> str:
    """A MAC address in QEMU's locally administered range, as stable as the UUID."""
    tail = uuid5(_NAMESPACE, f"{plan.name}/{plan.guest.name}/interface").bytes[:3]
    return "52:54:00:" + tail.hex(":")


def domain_xml(plan: Plan) -> bytes:
    """The whole document.

    Raises BadInput where a value has characters that XML cannot hold.
    """
    from lxml import etree

    try:
        root = _domain(plan)
    except ValueError as error:
        raise BadInput(f"a value of the guest cannot be written into XML: {error}") from None
    etree.indent(root, space="  ")
    return etree.tostring(root, encoding="utf-8") + b"\n"


def _domain(plan: Plan) -> _Element:
    from lxml import etree

    guest = plan.guest
    root = etree.Element("domain", type="kvm")
    _add(root, "name", text=guest.name)
    _add(root, "uuid", text=str(identity(plan)))
    _add(root, "memory", text=str(-(-guest.memory // 1024)), unit="KiB")
    _add(root, "vcpu", text=str(guest.cores * guest.threads_per_core), placement="static")
    _firmware(root, guest)
    _features(root, guest)
    _cpu(root, plan)
    _clock(root, guest)
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _add(root, f"on_{event}", text=action)
    power = _add(root, "pm")
    _add(power, "suspend-to-mem", enabled="no")
    _add(power, "suspend-to-disk", enabled="no")
    _devices(root, plan)
    return root


def _firmware(root: _Element, guest: GuestPlan) -> None:
    os = _add(root, "os")
    _add(os, "type", text="hvm", arch="x86_64", machine=guest.machine.value)
    _add(os, "loader", text=guest.loader, readonly="yes", type="pflash")
    _add(os, "nvram", text=guest.nvram, template=guest.nvram_template)


def _features(root: _Element, guest: GuestPlan) -> None:
    features = _add(root, "features")
    _add(features, "acpi")
    _add(features, "apic")
    if _is_windows(guest):
        hyperv = _add(features, "hyperv", mode="custom")
        _add(hyperv, "relaxed", state="on")
        _add(hyperv, "vapic", state="on")
        _add(hyperv, "spinlocks", state="on", retries="8191")
        for name in ("vpindex", "runtime", "synic", "stimer", "frequencies"):
            _add(hyperv, name, state="on")
    _add(features, "vmport", state="off")


def _cpu(root: _Element, plan: Plan) -> None:
    guest = plan.guest
    whole = guest.cpu_mode == "host-passthrough"
    cpu = _add(root, "cpu", mode=guest.cpu_mode, check="none" if whole else "partial")
    threads = str(guest.threads_per_core)
    _add(cpu, "topology", sockets="1", dies="1", cores=str(guest.cores), threads=threads)
    # QEMU's `-cpu host` leaves topoext out, and AMD guests then do not see the threads of a core.
    if whole and plan.host.cpu_vendor == "amd" and guest.threads_per_core > 1:
        _add(cpu, "feature", policy="require", name="topoext")


def _clock(root: _Element, guest: GuestPlan) -> None:
    windows = _is_windows(guest)
    clock = _add(root, "clock", offset="localtime" if windows else "utc")
    _add(clock, "timer", name="rtc", tickpolicy="catchup")
    _add(clock, "timer", name="pit", tickpolicy="delay")
    _add(clock, "timer", name="hpet", present="no")
    if windows:
        _add(clock, "timer", name="hypervclock", present="yes")


def _devices(root: _Element, plan: Plan) -> None:
    guest = plan.guest
    devices = _add(root, "devices")
    _add(devices, "emulator", text=EMULATOR)
    slots = max((device.slot for device in guest.host_devices), default=-1) + 1
    bus = _Buses(first=slots + 1)
    disks = [_disk(disk, letters) for disk, letters in _letters(guest.disks)]
    for element, disk in zip(disks, guest.disks, strict=True):
        if disk.bus == "virtio":
            bus.place(element)
        devices.append(element)
    controllers = len(devices)
    usb = _add(devices, "controller", type="usb", index="0", model="qemu-xhci")
    bus.place(usb)
    if any(disk.bus == "sata" for disk in guest.disks):
        sata = _add(devices, "controller", type="sata", index="0")
        _pci(sata, bus=0, slot=0x1F, function=2)
    if guest.bridge is not None:
        interface = _add(devices, "interface", type="bridge")
        _add(interface, "mac", address=mac_address(plan))
        _add(interface, "source", bridge=guest.bridge)
        _add(interface, "model", type=guest.network_model)
        bus.place(interface)
    _serial(devices, guest)
    if guest.os == "windows11":
        tpm = _add(devices, "tpm", model="tpm-crb")
        _add(tpm, "backend", type="emulator", version="2.0")
    _add(_add(devices, "video"), "model", type="none")
    for device in guest.host_devices:
        _host_device(devices, device)
    _add(devices, "memballoon", model="none")
    devices[controllers:controllers] = [*_pcie(ports=bus.next - 1 + SPARE_PORTS)]


class _Buses:
    """Hands out the buses behind the root ports that no passed-through card has."""

    def __init__(self, *, first: int) -> None:
        self.next = first

    def place(self, device: _Element) -> None:
        _pci(device, bus=self.next, slot=0, function=0)
        self.next += 1


def _pcie(*, ports: int) -> Iterator[_Element]:
    """The root and its ports, eight to a slot; behind the port with index N is bus N."""
    from lxml import etree

    yield etree.Element("controller", type="pci", index="0", model="pcie-root")
    for index in range(1, ports + 1):
        port = etree.Element("controller", type="pci", index=str(index), model="pcie-root-port")
        slot, function = divmod(index - 1, _FUNCTIONS_PER_SLOT)
        slot += _FIRST_PORT_SLOT
        _add(port, "target", chassis=str(index), port=f"{slot << 3 | function:#x}")
        several = function == 0 and index < ports
        _pci(port, bus=0, slot=slot, function=function, multifunction=several)
        yield port


def _letters(disks: tuple[PlannedDisk, ...]) -> Iterator[tuple[PlannedDisk, int]]:
    counts: dict[str, int] = {}
    for disk in disks:
        number = counts.get(disk.bus, 0)
        counts[disk.bus] = number + 1
        yield disk, number


def _disk(disk: PlannedDisk, number: int) -> _Element:
    from lxml import etree

    element = etree.Element("disk", type="file", device="cdrom" if disk.cdrom else "disk")
    _add(element, "driver", name="qemu", type=disk.format)
    _add(element, "source", file=disk.path)
    prefix = "vd" if disk.bus == "virtio" else "sd"
    _add(element, "target", dev=f"{prefix}{chr(ord('a') + number)}", bus=disk.bus)
    if disk.cdrom:
        _add(element, "readonly")
    if disk.boot is not None:
        _add(element, "boot", order=str(disk.boot))
    if disk.bus == "sata":
        _add(element, "address", type="drive", controller="0", bus="0", target="0", unit=str(number))
    return element


def _serial(devices: _Element, guest: GuestPlan) -> None:
    serial = _add(devices, "serial", type="pty")
    _add(serial, "log", file=f"{LOG_DIRECTORY}/{guest.name}-serial.log", append="off")
    target = _add(serial, "target", type="isa-serial", port="0")
    _add(target, "model", name="isa-serial")
    console = _add(devices, "console", type="pty")
    _add(console, "target", type="serial", port="0")


def _host_device(devices: _Element, device: PlannedHostDevice) -> None:
    element = _add(devices, "hostdev", mode="subsystem", type="pci", managed="yes")
    address = device.source
    _pci(
        _add(element, "source"),
        domain=address.domain,
        bus=address.bus,
        slot=address.device,
        function=address.function,
        typed=False,
    )
    if not device.rom_bar:
        _add(element, "rom", bar="off")
    _pci(element, bus=device.slot + 1, slot=0, function=device.function, multifunction=device.multifunction)


def _pci(
    parent: _Element,
    *,
    bus: int,
    slot: int,
    function: int,
    domain: int = 0,
    multifunction: bool = False,
    typed: bool = True,
) -> None:
    address = _add(parent, "address", **({"type": "pci"} if typed else {}))
    address.set("domain", f"0x{domain:04x}")
    address.set("bus", f"0x{bus:02x}")
    address.set("slot", f"0x{slot:02x}")
    address.set("function", f"0x{function:x}")
    if multifunction:
        address.set("multifunction", "on")


def _is_windows(guest: GuestPlan) -> bool:
    return guest.os.startswith("windows")


def _add(parent: _Element, tag: str, *, text: str | None = None, **attributes: str) -> _Element:
    from lxml import etree

    element = etree.SubElement(parent, tag, attributes)
    element.text = text
    return element
