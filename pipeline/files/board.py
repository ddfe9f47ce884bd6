"""The PCI functions of the host, from a list that lspci made and from copies of sysfs."""

from __future__ import annotations

from collections.abc import Callable, Collection

from pipeline.facts.drivers import competing
from pipeline.facts.version import parts
from pipeline.files import sysfs
from pipeline.files.reader import Reader
from pipeline.files.text import Text
from pipeline.hardware import aliases, lspci
from pipeline.pci import Address
from pipeline.setup.model import Board, Function

LISTS = ("lspci.txt", "root/lspci.txt")
LIMIT = 4 << 20
_GROUPS = "sys/kernel/iommu_groups"
_MODULES = ("usr/lib/modules", "lib/modules")
_BRIDGE = "06"
_GUEST = {"vfio-pci", "vfio_pci"}


def listing(reader: Reader, text: Text | None) -> lspci.Listing | None:
    """The functions of a list; None where there is no list, or no function in it."""
    if text is None:
        return None
    found = lspci.parse(text.lines)
    for line, why in found.unread:
        reader.note(text.place(line), f"not read: {why}")
    if not found.devices:
        reader.note(text.whole, "it lists no PCI function with its ids; make it with lspci -nnk")
        return None
    return found


def read(
    reader: Reader,
    text: Text | None,
    found: lspci.Listing,
    *,
    kernel: str | None,
    passed: Callable[[Collection[lspci.Device]], Collection[Address]],
) -> Board:
    """The board; `passed` picks the functions that a guest gets. Without `text` the functions are those of sysfs."""
    devices = [device for device in found.devices if not device.class_code.startswith(_BRIDGE)]
    chosen = passed(devices)
    known = _aliases(reader, kernel) if not all(device.modules for device in devices) else None
    functions = tuple(
        Function(
            address=device.address,
            ids=device.ids,
            subsystem=device.subsystem,
            class_code=device.class_code,
            name=device.name or device.class_name or f"function of class {device.class_code}",
            drivers=_drivers(device, known),
            passed=device.address in chosen,
            place=text.place(device.line, device.column)
            if text
            else reader.whole(f"{sysfs.FOLDER}/{device.address.full}"),
            in_use=device.driver,
        )
        for device in devices
        if device.ids is not None
    )
    return Board(functions=functions, groups=_groups(reader, found, {one.address for one in functions}))


def _drivers(device: lspci.Device, known: aliases.Aliases | None) -> tuple[str, ...]:
    """The one in use first, then what the kernel has: as lspci saw, by modules.alias, or by what is known here."""
    held = [device.driver] if device.driver and device.driver not in _GUEST else []
    names: tuple[str, ...] = device.modules
    if not names and known is not None and device.ids is not None:
        names = known.drivers(device.ids, device.subsystem, device.class_code)
    if not names and device.ids is not None:
        names = competing(device.ids, aliases.full_class(device.class_code))
    return tuple(dict.fromkeys(name for name in (*held, *names) if name not in _GUEST))


def _aliases(reader: Reader, kernel: str | None) -> aliases.Aliases | None:
    """The modules.alias of the kernel series; None without one."""
    for folder in _MODULES:
        names = [name for name in reader.names(folder) if kernel and _of_series(name, kernel)]
        for name in reversed(names):
            text = reader.text(f"{folder}/{name}/modules.alias", limit=LIMIT)
            if text:
                return aliases.parse(text.lines)
    return None


def _of_series(release: str, kernel: str) -> bool:
    head = release.split("-")[0].split(".")
    return len(head) > 1 and ".".join(head[:2]) == ".".join(str(one) for one in parts(kernel)[:2])


def _groups(
    reader: Reader, found: lspci.Listing, functions: Collection[Address]
) -> tuple[frozenset[Address], ...] | None:
    """The groups of sysfs, else those of the list."""
    groups: list[list[Address]] = []
    for name in reader.names(_GROUPS):
        members = []
        for device in reader.names(f"{_GROUPS}/{name}/devices"):
            try:
                members.append(Address.parse(device))
            except ValueError:
                continue
        groups.append(members)
    groups = groups or list(found.groups().values())
    kept = [frozenset(address for address in group if address in functions) for group in groups]
    return tuple(sorted((group for group in kept if group), key=min)) or None
