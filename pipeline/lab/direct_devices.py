"""Devices of a libvirt domain as QEMU's `-device` takes them, for those that libvirt does not translate at L0; pure."""

from __future__ import annotations

from lxml import etree

EMULATED = "vfio-user-pci"
# Libvirt's name of a model to QEMU's (src/qemu/qemu_command.c qemuBuildNicDevProps()).
_NIC_MODELS = {"virtio": "virtio-net-pci"}


def network(element: etree._Element, number: int) -> dict[str, object]:
    """The card of an `<interface>`, the one with that number."""
    model, mac, address = element.find("model"), element.find("mac"), element.find("address")
    kind = model.get("type", "") if model is not None else ""
    device: dict[str, object] = {
        "driver": _NIC_MODELS.get(kind, kind or "rtl8139"),
        "netdev": f"hostnet{number}",
        "id": f"net{number}",
    }
    if mac is not None:
        device["mac"] = mac.get("address")
    if address is not None:
        device |= _place(address)
    return device | _boot_and_rom(element)


def emulated(element: etree._Element, socket: str) -> dict[str, object]:
    """The emulated function behind `socket` at the place of a `<hostdev>`."""
    address = element.find("address")
    place = _place(address) if address is not None else {}
    return {
        "driver": EMULATED,
        "id": socket.removesuffix(".sock"),
        "socket": {"type": "unix", "path": socket},
        **place,
        **_boot_and_rom(element),
    }


def boot_order(disk: etree._Element) -> tuple[bool, int]:
    """Sorts what boots first to the front, and what does not boot to the end."""
    boot = disk.find("boot")
    order = int(boot.get("order", "0")) if boot is not None else 0
    return order == 0, order


def number(element: etree._Element, name: str) -> int:
    """An attribute as libvirt writes numbers, decimal or hexadecimal; 0 where it is not there."""
    return int(element.get(name) or "0", 0)


def _place(address: etree._Element) -> dict[str, object]:
    """As libvirt names buses: of the controller with index N it is pci.N, and pcie.0 that of the root."""
    bus, slot, function = (number(address, name) for name in ("bus", "slot", "function"))
    place: dict[str, object] = {"bus": f"pci.{bus}" if bus else "pcie.0"}
    if address.get("multifunction") == "on":
        place["multifunction"] = True
    place["addr"] = f"{slot:#x}.{function:#x}" if function else f"{slot:#x}"
    return place


def _boot_and_rom(element: etree._Element) -> dict[str, object]:
    boot, rom = element.find("boot"), element.find("rom")
    found: dict[str, object] = {}
    if boot is not None:
        found["bootindex"] = int(boot.get("order", "1"))
    if rom is not None and "off" in {rom.get("bar"), "off" if rom.get("enabled") == "no" else ""}:
        found["rombar"] = 0
    return found
