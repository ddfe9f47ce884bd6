"""What lspci prints, in the forms that people keep: -nn, -nnk, -nnv, with -D, -n, and -vmmnnk.

Also the lines of the loop over IOMMU groups that guides print ("IOMMU Group 13 01:00.0 VGA …"). Source: lspci(8);
pciutils lspci.c show_terse(), show_verbose(), show_machine(); ls-kernel.c show_kernel().
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.pci import Address, IdPair

_LINES, _DEVICES = 40_000, 8_192
_ADDRESS = r"(?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]"
_HEAD = re.compile(rf"[ \t]*(?:IOMMU [Gg]roup[ \t]+([0-9]{{1,4}}):?[ \t]+)?({_ADDRESS})[ \t]+(\S.*)")
_GROUP = re.compile(r"[ \t]*IOMMU [Gg]roup:?[ \t]+([0-9]{1,4}):?[ \t]*.{0,40}")
_NAMED = re.compile(r"(.{1,200}?) \[([0-9a-fA-F]{4})\]: (.*)\[([0-9a-fA-F]{4}:[0-9a-fA-F]{4})\](.*)")
_NUMBERS = re.compile(r"(?:Class )?([0-9a-fA-F]{4}): ([0-9a-fA-F]{4}:[0-9a-fA-F]{4})(.*)")
_REVISION = re.compile(r"\(rev ([0-9a-fA-F]{2})\)")
_INTERFACE = re.compile(r"\(prog-if ([0-9a-fA-F]{2})\b")
_DETAIL = re.compile(r"[ \t]+(Subsystem|Kernel driver in use|Kernel modules|DeviceName):[ \t]*(.*)")
_SUBSYSTEM = re.compile(r"(?:.*\[)?([0-9a-fA-F]{4}:[0-9a-fA-F]{4})\]?[ \t]*")
_MACHINE = re.compile(
    r"(Slot|Class|Vendor|Device|SVendor|SDevice|Rev|ProgIf|Driver|Module|IOMMUGroup):[ \t]*(.*)"
)
_NUMBER = re.compile(r"(?:(.*)\[)?([0-9a-fA-F]{4})\]?[ \t]*")


@dataclass(kw_only=True, slots=True)
class Device:
    """One function as lspci shows it: `line` counts from 1, `column` is that of its address.

    `class_code` has four hexadecimal digits, six where the programming interface was shown. `driver` is empty where
    none holds it and None where lspci was not asked (-k); `modules` are those that the kernel has for it.
    """

    address: Address
    line: int
    column: int
    ids: IdPair | None = None
    class_code: str = ""
    class_name: str = ""
    name: str = ""
    subsystem: IdPair | None = None
    revision: str = ""
    driver: str | None = None
    modules: tuple[str, ...] = ()
    group: int | None = None


@dataclass(kw_only=True, slots=True)
class Listing:
    """All functions in the order of the text, and the lines, from 1, of those that could not be read, with why."""

    devices: list[Device] = field(default_factory=list)
    unread: list[tuple[int, str]] = field(default_factory=list)

    def vendor(self) -> str | None:
        """Who made the processor, amd or intel, by the host bridge; None where neither did."""
        for device in self.devices:
            if device.class_code.startswith("0600") and device.ids is not None:
                return {0x1022: "amd", 0x8086: "intel"}.get(device.ids.vendor)
        return None

    def groups(self) -> dict[int, list[Address]]:
        """The functions of each IOMMU group, as far as the text tells them."""
        found: dict[int, list[Address]] = {}
        for device in self.devices:
            if device.group is not None:
                found.setdefault(device.group, []).append(device.address)
        return found


def parse(lines: Iterable[str]) -> Listing:
    """Read a listing; what a function says in several places of the text is put together."""
    listing = Listing()
    known: dict[Address, Device] = {}
    current: Device | None = None
    group: int | None = None
    asked = False
    for number, line in enumerate(lines, 1):
        if number > _LINES or len(known) > _DEVICES:
            listing.unread.append(
                (number, f"more than {_LINES} lines or {_DEVICES} functions come before it")
            )
            break
        if len(line) > 4096:
            continue
        if found := _MACHINE.match(line):
            if found[1] == "Slot":
                current = _device(listing, known, number, found.start(2) + 1, found[2].strip())
            elif current is not None:
                asked |= found[1] in {"Driver", "Module"}
                _machine(current, found[1], found[2].strip())
        elif found := _HEAD.fullmatch(line):
            indented = line[:1] in {" ", "\t"} and found[1] is None
            current = _device(listing, known, number, found.start(2) + 1, found[2])
            if current is not None:
                _described(listing, current, number, found[3])
                if found[1] is not None:
                    current.group = int(found[1])
                elif indented and group is not None:
                    current.group = group
            if not indented and found[1] is None:
                group = None
        elif found := _GROUP.fullmatch(line):
            # Indented it is a detail of the function above (-v), else the title of a list of functions.
            if line[:1] in {" ", "\t"}:
                if current is not None:
                    current.group = int(found[1])
            else:
                group = int(found[1])
        elif (found := _DETAIL.fullmatch(line)) and current is not None:
            asked |= found[1].startswith("Kernel")
            _detail(current, found[1], found[2])
    listing.devices = [device for device in listing.devices if device.ids is not None]
    if asked:
        for device in listing.devices:
            device.driver = device.driver or ""
    return listing


def _device(
    listing: Listing, known: dict[Address, Device], number: int, column: int, text: str
) -> Device | None:
    try:
        address = Address.parse(text)
    except ValueError:
        listing.unread.append(
            (number, f"{text} is no address of a PCI function in a domain that is known here")
        )
        return None
    if address not in known:
        known[address] = Device(address=address, line=number, column=column)
        listing.devices.append(known[address])
    return known[address]


def _described(listing: Listing, device: Device, number: int, text: str) -> None:
    if found := _NAMED.fullmatch(text):
        name, ids, tail = found[3].strip(), found[4], found[5]
        device.class_name, code = found[1], found[2]
    elif found := _NUMBERS.fullmatch(text):
        name, ids, tail, code = "", found[2], found[3], found[1]
    else:
        if device.ids is None:
            listing.unread.append((number, "it has no ids in brackets; make the list with lspci -nnk"))
        return
    device.ids = IdPair.parse(ids)
    device.name = device.name or name
    interface = _INTERFACE.search(tail)
    if len(device.class_code) < 6:
        device.class_code = code.lower() + (interface[1].lower() if interface else "")
    if revision := _REVISION.search(tail):
        device.revision = revision[1].lower()


def _detail(device: Device, key: str, value: str) -> None:
    if key == "Subsystem":
        if found := _SUBSYSTEM.fullmatch(value):
            device.subsystem = IdPair.parse(found[1])
    elif key == "Kernel driver in use":
        device.driver = value.strip()
    elif key == "Kernel modules":
        device.modules = tuple(part.strip() for part in value.split(",") if part.strip())


def _machine(device: Device, key: str, value: str) -> None:
    """`-vmm`: vendor and device stand in lines of their own."""
    found = _NUMBER.fullmatch(value)
    number = int(found[2], 16) if found else 0
    match key:
        case "Class" if found:
            device.class_code, device.class_name = found[2].lower(), (found[1] or "").strip()
        case "Vendor" if found:
            device.ids, device.name = IdPair(number, 0), (found[1] or "").strip()
        case "Device" if found and device.ids is not None:
            device.ids = IdPair(device.ids.vendor, number)
            device.name = f"{device.name} {(found[1] or '').strip()}".strip()
        case "SVendor" if found:
            device.subsystem = IdPair(number, 0)
        case "SDevice" if found and device.subsystem is not None:
            device.subsystem = IdPair(device.subsystem.vendor, number)
        case "Rev":
            device.revision = value.lower()
        case "ProgIf" if re.fullmatch("[0-9a-fA-F]{2}", value) and len(device.class_code) == 4:
            device.class_code += value.lower()
        case "Driver":
            device.driver = value
        case "Module":
            device.modules = (*device.modules, value)
        case "IOMMUGroup" if re.fullmatch("[0-9]{1,4}", value):
            device.group = int(value)
