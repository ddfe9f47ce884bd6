"""The PCI functions by sysfs itself: of the running machine where / is read, or of a copy.

Source: kernel Documentation/ABI/testing/sysfs-bus-pci; drivers/pci/pci-sysfs.c.
"""

from __future__ import annotations

import re

from pipeline.files.reader import Reader
from pipeline.hardware.lspci import Device, Listing
from pipeline.pci import Address, IdPair

FOLDER = "sys/bus/pci/devices"
_NUMBER = re.compile(r"0x([0-9a-f]{4,6})\s*")
_MOST = 512


def listing(reader: Reader) -> Listing | None:
    """The functions as lspci would list them, without names; None where there is no sysfs."""
    found = Listing()
    for name in reader.names(FOLDER)[:_MOST]:
        try:
            address = Address.parse(name)
        except ValueError:
            continue
        vendor, device, code = (_value(reader, name, one) for one in ("vendor", "device", "class"))
        if not (vendor and device and code):
            continue
        subsystem = [_value(reader, name, f"subsystem_{one}") for one in ("vendor", "device")]
        driver = reader.tree.target(f"{FOLDER}/{name}/driver")
        found.devices.append(
            Device(
                address=address,
                line=0,
                column=0,
                ids=IdPair(int(vendor, 16), int(device, 16)),
                class_code=code,
                subsystem=IdPair(int(subsystem[0], 16), int(subsystem[1], 16)) if all(subsystem) else None,
                driver=driver.rpartition("/")[2] if driver else "",
            )
        )
    return found if found.devices else None


def _value(reader: Reader, name: str, attribute: str) -> str:
    """The digits of a number, empty where it cannot be read."""
    text = reader.text(f"{FOLDER}/{name}/{attribute}")
    number = _NUMBER.fullmatch(text.content) if text else None
    return number[1] if number else ""
