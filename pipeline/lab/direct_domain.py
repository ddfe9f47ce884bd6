"""The rendered domain as it runs at L0, where there is no host under test: what is replaced, and by what. Pure.

What a guest sees stays as rendered, except for what is listed: the media, the firmware's file, and what needs
something that only the owner's machine has. Its files are named relative to the run's directory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from lxml import etree

from pipeline.lab import direct_devices as devices
from pipeline.lab import domain
from pipeline.lab.direct_devices import EMULATED
from pipeline.pci import Address

CODE, VARIABLES = "code.fd", "variables.fd"
SERIAL = "serial"
_NO_KVM = "the cell runs without KVM"
# Parts of a domain that lead out of it, or want a program beside QEMU: a matrix of firmware boots has none of them.
_OUTWARD = {
    "graphics": "the lab shows no screen",
    "channel": "nothing of the host listens to it",
    "redirdev": "nothing of the host is passed on",
    "filesystem": "the host's directories are not there",
    "shmem": "nothing else shares its memory",
    "smartcard": "the host's card is not there",
    "vsock": "nothing of the host listens to it",
    "tpm": "the lab starts no swtpm for it at L0",
}
# Placing of threads and memory on the owner's machine; the guest does not see it.
_PLACING = ("cputune", "numatune", "memtune", "blkiotune", "iothreads", "resource", "seclabel")


@dataclass(frozen=True, kw_only=True, slots=True)
class Medium:
    """A file that stands in for a disk's or a CD's: only the first to boot has the `payload`."""

    name: str
    cdrom: bool
    payload: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestPlace:
    """Where the domain puts a function of the host: `bus` as the domain counts it, slot and function there.

    `port` is the place of the root port above it among those of `domain.root_ports`, None where there is none.
    """

    source: Address
    bus: int
    slot: int
    function: int
    port: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectDomain:
    """The domain for L0. `devices` are QEMU's for what libvirt's XML does not have, `backends` what they hang on."""

    xml: bytes
    media: tuple[Medium, ...]
    places: tuple[GuestPlace, ...]
    devices: tuple[dict[str, object], ...]
    backends: tuple[str, ...]
    replacements: tuple[str, ...]

    @property
    def emulated(self) -> frozenset[str]:
        """Names of the emulated functions that it has."""
        return frozenset(str(one["id"]) for one in self.devices if one["driver"] == EMULATED)


def for_direct(
    xml: bytes,
    *,
    machine: str,
    firmware: str,
    sockets: dict[Address, str],
    left_out: Collection[str],
    accelerator: str,
) -> DirectDomain:
    """The domain `xml` with the machine type `machine`.

    `sockets` has the socket of each emulated function by the host's address that the domain names; `left_out` the
    models that this QEMU does not have. `firmware` says what stands for the domain's loader.
    """
    lab = domain.for_lab(xml, accelerator=accelerator, why=_NO_KVM)
    ports = domain.root_ports(xml)
    work = _Work(root=etree.fromstring(lab.xml, _PARSER), said=list(lab.replacements))
    work.emulator()
    work.machine(machine)
    work.firmware(firmware)
    work.cpu(accelerator)
    if accelerator == "tcg":
        work.said += domain.leave_out_hyperv(work.root)
    work.outward()
    media = tuple(work.media())
    added = [*work.networks()]
    backends = [f"hubport,id={device['netdev']},hubid={number}" for number, device in enumerate(added)]
    places = tuple(work.host_devices(ports))
    if EMULATED in left_out:
        work.said += [f"<hostdev> {place.source} left out: this QEMU has no {EMULATED}" for place in places]
    else:
        for place, element in zip(places, work.taken, strict=True):
            if place.source in sockets:
                added.append(devices.emulated(element, sockets[place.source]))
                work.said.append(f"<hostdev> {place.source} is an emulated function ({EMULATED})")
            else:
                work.said.append(f"<hostdev> {place.source} left out: the lab emulates no such function")
        if places:
            work.shared_memory()
    work.serial()
    return DirectDomain(
        xml=etree.tostring(work.root),
        media=media,
        places=places,
        devices=tuple(added),
        backends=tuple(backends),
        replacements=tuple(work.said),
    )


_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)


@dataclass(kw_only=True, slots=True)
class _Work:
    """A domain that is changed step by step; `said` has a line for each change, `taken` the hostdevs taken out."""

    root: etree._Element
    said: list[str]
    taken: Sequence[etree._Element] = ()

    @property
    def devices(self) -> etree._Element:
        found = self.root.find("devices")
        return etree.SubElement(self.root, "devices") if found is None else found

    def emulator(self) -> None:
        if self.devices.find("emulator") is None:
            etree.SubElement(self.devices, "emulator")

    def machine(self, wanted: str) -> None:
        kind = self.root.find("os/type")
        if kind is not None and (before := kind.get("machine", "")) != wanted:
            kind.set("machine", wanted)
            self.said.append(f"machine type {before} replaced by {wanted}")

    def firmware(self, name: str) -> None:
        """The release's own OVMF, and a copy of its variables."""
        os = self.root.find("os")
        if os is None:
            return
        os.attrib.pop("firmware", None)
        for tag in ("loader", "nvram", "firmware"):
            for element in os.findall(tag):
                if tag == "loader":
                    self.said.append(f"<loader> {element.text} replaced by {name}")
                os.remove(element)
        loader = etree.SubElement(os, "loader", readonly="yes", type="pflash")
        loader.text = CODE
        etree.SubElement(os, "nvram").text = VARIABLES

    def cpu(self, accelerator: str) -> None:
        """Libvirt refuses host-passthrough without KVM (src/qemu/qemu_capabilities.c virQEMUCapsIsCPUModeSupported)."""
        cpu = self.root.find("cpu")
        if cpu is not None and cpu.get("mode") == "host-passthrough" and accelerator == "tcg":
            cpu.set("mode", "maximum")
            cpu.attrib.pop("migratable", None)
            self.said.append(f"<cpu mode='host-passthrough'> replaced by 'maximum': {_NO_KVM}")
            for feature in cpu.findall("feature[@name='topoext']"):
                cpu.remove(feature)

    def outward(self) -> None:
        for tag in _PLACING:
            for element in self.root.findall(tag):
                self.root.remove(element)
                self.said.append(f"<{tag}> left out: it places the guest on the owner's machine")
        for memory in self.root.findall("memoryBacking"):
            self.root.remove(memory)
            self.said.append("<memoryBacking> left out: it is about the owner's memory")
        vcpu = self.root.find("vcpu")
        if vcpu is not None:
            vcpu.attrib.pop("cpuset", None)
        for tag, why in _OUTWARD.items():
            for element in self.devices.findall(tag):
                model = element.get("model") or element.get("type") or ""
                self.devices.remove(element)
                self.said.append(f"<{tag}> {model} left out: {why}".replace("  ", " "))

    def media(self) -> Iterator[Medium]:
        """Every disk and CD with a medium gets a raw file of the lab's; the first to boot has the payload."""
        disks = [disk for disk in self.devices.findall("disk") if disk.find("source") is not None]
        first = min(disks, key=devices.boot_order, default=None)
        for number, disk in enumerate(disks):
            source, driver = disk.find("source"), disk.find("driver")
            assert source is not None
            name, cdrom, payload = f"medium{number}", disk.get("device") == "cdrom", disk is first
            before = next((value for key, value in source.attrib.items() if key in _SOURCES), "?")
            kind = driver.get("type", "raw") if driver is not None else "raw"
            disk.set("type", "file")
            for element in disk.findall("source") + disk.findall("backingStore") + disk.findall("driver"):
                disk.remove(element)
            etree.SubElement(disk, "driver", name="qemu", type="raw")
            etree.SubElement(disk, "source", file=name)
            what = "the lab's payload" if payload else "an empty one"
            self.said.append(f"<disk> {before} ({kind}) replaced by {what}")
            yield Medium(name=name, cdrom=cdrom, payload=payload)

    def networks(self) -> Iterator[dict[str, object]]:
        """The network cards. Libvirt's translation would make a tap device for any kind of interface."""
        for number, element in enumerate(self.devices.findall("interface")):
            self.devices.remove(element)
            device = devices.network(element, number)
            self.said.append(
                f"<interface type='{element.get('type')}'> goes nowhere: the lab has no network; "
                f"{device['driver']} stays"
            )
            yield device

    def host_devices(self, ports: Sequence[tuple[int, int]]) -> Iterator[GuestPlace]:
        taken = []
        for element in self.devices.findall("hostdev"):
            self.devices.remove(element)
            source, address = element.find("source/address"), element.find("address")
            if element.get("type") != "pci" or source is None or address is None:
                self.said.append(f"<hostdev type='{element.get('type')}'> left out: it is the owner's")
                continue
            taken.append(element)
            bus = devices.number(address, "bus")
            yield GuestPlace(
                source=Address(
                    *(devices.number(source, name) for name in ("domain", "bus", "slot", "function"))
                ),
                bus=bus,
                slot=devices.number(address, "slot"),
                function=devices.number(address, "function"),
                port=self._port_of(bus, ports),
            )
        self.taken = taken

    def _port_of(self, bus: int, ports: Sequence[tuple[int, int]]) -> int | None:
        """Behind the controller with index N is bus N."""
        for controller in self.devices.findall("controller[@model='pcie-root-port']"):
            address = controller.find("address")
            if devices.number(controller, "index") == bus and address is not None:
                place = (devices.number(address, "slot"), devices.number(address, "function"))
                return ports.index(place) if place in ports else None
        return None

    def shared_memory(self) -> None:
        """The server of the emulated functions reads and writes the guest's memory."""
        memory = etree.Element("memoryBacking")
        etree.SubElement(memory, "source", type="memfd")
        etree.SubElement(memory, "access", mode="shared")
        after = self.root.find("memory")
        assert after is not None
        after.addnext(memory)

    def serial(self) -> None:
        """The first serial line tells what the payload says; others and consoles go."""
        for element in self.devices.findall("console"):
            self.devices.remove(element)
        lines = self.devices.findall("serial")
        for element in lines[1:]:
            self.devices.remove(element)
            self.said.append("a further <serial> left out: nothing listens to it")
        for element in lines[:1]:
            self.devices.remove(element)
        if not lines:
            self.said.append("a <serial> added: the payload speaks through it")
        element = etree.SubElement(self.devices, "serial", type="file")
        etree.SubElement(element, "source", path=SERIAL)
        target = etree.SubElement(element, "target", type="isa-serial", port="0")
        etree.SubElement(target, "model", name="isa-serial")


_SOURCES = ("file", "dev", "volume", "name", "dir")
