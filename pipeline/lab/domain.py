"""The only place where the rendered domain is changed before it runs in the lab.

What may be replaced: memory size and accelerator, and where a QEMU release is under test the emulator, its firmware
and without KVM Hyper-V's interfaces. Disks and ISO images keep their paths in the domain; the
files at these paths in L1 are stand-ins. Everything else runs as rendered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from pipeline.errors import BadInput
from pipeline.lab.emulator import Emulator

MEMORY = 256 << 20
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabDomain:
    """The domain as it is given to libvirt in L1, with one line for each replacement."""

    xml: bytes
    replacements: tuple[str, ...]


def for_lab(
    xml: bytes, *, accelerator: str, emulator: Emulator | None = None, why: str = "no usable KVM for L2"
) -> LabDomain:
    """Replace the memory size and, where it is to run without KVM (`why`), the accelerator; `emulator` is under test.

    Raises BadInput where it is, and the domain leaves emulator or firmware to libvirt.
    """
    root = etree.fromstring(xml, _PARSER)
    replacements = []
    for tag in ("memory", "currentMemory"):
        for element in root.findall(tag):
            before, after = f"{element.text} {element.get('unit', 'KiB')}", f"{MEMORY >> 10} KiB"
            if before == after:
                continue
            element.text = str(MEMORY >> 10)
            element.set("unit", "KiB")
            replacements.append(f"<{tag}> {before} replaced by {after}: the lab's memory is small")
    before, after = root.get("type", ""), "qemu" if accelerator == "tcg" else accelerator
    if before != after:
        root.set("type", after)
        replacements.append(f"<domain type='{before}'> replaced by type='{after}': {why}")
    if emulator:
        replacements += _put_under_test(root, emulator)
        if accelerator == "tcg":
            replacements += leave_out_hyperv(root)
    return LabDomain(xml=etree.tostring(root), replacements=tuple(replacements))


def leave_out_hyperv(root: etree._Element) -> Iterator[str]:
    """Only KVM gives a guest Hyper-V's interfaces (QEMU target/i386/kvm), and 7.2 refuses `hv-vpindex` without."""
    found = [*root.findall("features/hyperv"), *root.findall("clock/timer[@name='hypervclock']")]
    for element in found:
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)
    if found:
        yield "<hyperv> left out: without KVM QEMU gives a guest none of it"


def _put_under_test(root: etree._Element, emulator: Emulator) -> Iterator[str]:
    """Name the emulator and the firmware of the release instead of the host's own."""
    why = f"QEMU {emulator.version} is under test"
    for path, value in (("devices/emulator", emulator.binary), ("os/loader", emulator.code)):
        element = root.find(path)
        if element is None:
            # What is rendered has both; an edited domain may leave the choice to libvirt.
            raise BadInput(
                f"the domain has no <{path.rpartition('/')[2]}>, so no release can be put under test"
            )
        yield f"<{path.rpartition('/')[2]}> {element.text or 'of libvirt'} replaced by {value}: {why}"
        element.text = value
    nvram = root.find("os/nvram")
    if nvram is not None:
        before = str(nvram.get("template", "of libvirt"))
        nvram.set("template", emulator.variables)
        yield f"<nvram template> {before} replaced by {emulator.variables}: {why}"


def root_ports(xml: bytes) -> tuple[tuple[int, int], ...]:
    """Slot and function on bus 0 of each pcie-root-port that has its address written out."""
    root = etree.fromstring(xml, _PARSER)
    found = []
    for controller in root.iterfind("devices/controller[@model='pcie-root-port']"):
        address = controller.find("address")
        if address is not None and int(address.get("bus", "0"), 0) == 0:
            found.append((int(address.get("slot", "0"), 0), int(address.get("function", "0"), 0)))
    return tuple(found)


def assigned_buses(xml: bytes) -> tuple[int, ...]:
    """The numbers that firmware gives to the buses with hostdevs on them.

    libvirt's number of a bus is the index of the controller above it; firmware counts the root ports from 1 in the
    order of their addresses (OVMF, ran).
    """
    root = etree.fromstring(xml, _PARSER)
    above = {}
    for controller in root.iterfind("devices/controller[@model='pcie-root-port']"):
        address = controller.find("address")
        if address is not None and int(address.get("bus", "0"), 0) == 0:
            place = int(address.get("slot", "0"), 0), int(address.get("function", "0"), 0)
            above[int(controller.get("index", "0"), 0)] = place
    order = sorted(above.values())
    buses = {int(one.get("bus", "0"), 0) for one in root.iterfind("devices/hostdev/address")}
    return tuple(sorted(order.index(above[bus]) + 1 for bus in buses if bus in above))


@dataclass(frozen=True, kw_only=True, slots=True)
class Medium:
    """A disk of the domain: path, format, whether it is a CD drive, place in the boot order (0: none)."""

    path: str
    format: str
    cdrom: bool
    boot: int


def media(xml: bytes) -> tuple[Medium, ...]:
    """The domain's file-backed disks, first to boot first."""
    root = etree.fromstring(xml, _PARSER)
    found = []
    for disk in root.iterfind("devices/disk"):
        source, driver, boot = disk.find("source"), disk.find("driver"), disk.find("boot")
        if source is None or not source.get("file"):
            continue
        found.append(
            Medium(
                path=str(source.get("file")),
                format=str(driver.get("type", "raw")) if driver is not None else "raw",
                cdrom=disk.get("device") == "cdrom",
                boot=int(boot.get("order", "0")) if boot is not None else 0,
            )
        )
    return tuple(sorted(found, key=lambda medium: (medium.boot == 0, medium.boot)))
