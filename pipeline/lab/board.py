"""The PCI topology of L1 as QEMU arguments; pure.

Every passed-through function is an emulated function with the scenario's ids (`vfio-user-pci`); the others are
QEMU's own devices of the same class. Bus numbers are given out by SeaBIOS in the order of the root ports'
addresses, so ports are placed, and spare ones added, until each card has the bus that the scenario says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.errors import BadInput
from pipeline.lab.device.function import Bar, BarKind, FunctionSpec
from pipeline.pci import Address, IdPair
from pipeline.plan.model import Plan, PlannedFunction, PlannedPort

DISK_SLOT = 0x1D
NETWORK_SLOT = 0x1E
IOMMU_SLOT = 0x1C
# Slots of bus 0 that the machine itself or the lab uses (QEMU hw/i386/pc_q35.c: 00 and 1f).
_TAKEN_SLOTS = {0x00, IOMMU_SLOT, DISK_SLOT, NETWORK_SLOT, 0x1F}
NETWORK_INTERFACE = f"enp0s{NETWORK_SLOT}"

# The lab's disk, as a PCI function and on the virtio bus behind it.
_DISK_MODALIASES = ("pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", "virtio:d00000002v00001AF4")


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnDevice:
    """A device model of QEMU that stands for a function that stays on the host."""

    model: str
    ids: IdPair


# By class code, longest prefix first. Ids: QEMU docs/specs/pci-ids.rst and hw/ (ran: lspci in L1).
_OWN_DEVICES = {
    "010802": OwnDevice(model="nvme,serial=dryboot", ids=IdPair(0x1B36, 0x0010)),
    "010601": OwnDevice(model="ahci", ids=IdPair(0x8086, 0x2922)),
    "0c0330": OwnDevice(model="qemu-xhci", ids=IdPair(0x1B36, 0x000D)),
    "0200": OwnDevice(model="e1000e", ids=IdPair(0x8086, 0x10D3)),
    "0403": OwnDevice(model="intel-hda", ids=IdPair(0x8086, 0x2668)),
    "03": OwnDevice(model="bochs-display", ids=IdPair(0x1234, 0x1111)),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """What L1 is made of: arguments for QEMU, the emulated functions behind them, and what stands in."""

    arguments: tuple[str, ...]
    emulated: tuple[FunctionSpec, ...]
    own: tuple[tuple[Address, str], ...]
    modaliases: tuple[str, ...]


def lay_out(plan: Plan) -> Board:
    """The board of a plan.

    Raises BadInput where QEMU cannot give the functions the addresses that the scenario says.
    """
    arguments: list[str] = list(_iommu(plan.host.cpu_vendor))
    own: list[tuple[Address, str]] = []
    emulated: list[FunctionSpec] = []
    modaliases: list[str] = [*_DISK_MODALIASES]
    for chassis, (address, port) in enumerate(_ports(plan.ports), start=1):
        if port is None and address.function == 0 and address in _headless(plan.ports):
            arguments += ["-device", f"pci-testdev,addr={address.device:x}.0,multifunction=on"]
            continue
        place = f"addr={address.device:x}.{address.function:x},multifunction=on"
        arguments += ["-device", f"pcie-root-port,id=port{chassis},chassis={chassis},slot={chassis},{place}"]
        for function in port.functions if port else ():
            several = function.address.function == 0 and len(port.functions if port else ()) > 1
            model = _own(function)
            if model is None:
                emulated.append(_spec(function, several))
                arguments += ["-device", _emulated(function, f"port{chassis}", several)]
                modaliases.append(_modalias(function.ids, function.subsystem, function.class_code))
            else:
                bus = f"bus=port{chassis},addr={function.address.device:x}.{function.address.function:x}"
                arguments += ["-device", f"{model.model},{bus}{',multifunction=on' if several else ''}"]
                own.append((function.address, model.model.partition(",")[0]))
                modaliases.append(_modalias(model.ids, None, function.class_code))
    return Board(
        arguments=tuple(arguments), emulated=tuple(emulated), own=tuple(own), modaliases=tuple(modaliases)
    )


def _iommu(vendor: str) -> Iterator[str]:
    if vendor == "amd":
        # Its PCI function is put out of the way: left alone, it takes slot 1 (ran, QEMU 11.1).
        yield from ("-device", f"AMDVI-PCI,id=iommu,addr={IOMMU_SLOT:x}.0")
        yield from ("-device", "amd-iommu,intremap=on,dma-remap=on,pci-id=iommu")
    else:
        yield from ("-device", "intel-iommu,intremap=on,caching-mode=on")


def _headless(ports: Sequence[PlannedPort]) -> set[Address]:
    """Function 0 of every slot that has root ports but none at function 0: nothing looks further without it."""
    slots = {port.address.device for port in ports}
    heads = {port.address.device for port in ports if port.address.function == 0}
    return {Address(0, 0, slot, 0) for slot in slots - heads}


def _ports(ports: Sequence[PlannedPort]) -> Iterator[tuple[Address, PlannedPort | None]]:
    """Every function of bus 0 in the order of its address: ports, heads of slots, spare ports for bus numbers."""
    wanted = {port.address: port for port in ports}
    if len({port.functions[0].address.bus for port in ports}) != len(ports):
        raise BadInput("two root ports have the same bus behind them", place=ports[0].place)
    for one in ports:
        if one.address.domain or one.address.bus or one.address.device in _TAKEN_SLOTS:
            raise BadInput(
                f"the lab cannot put a root port at {one.address}",
                place=one.place,
                hint="use 00:01.0 to 00:1b.7",
            )
    heads = _headless(ports)
    bus = 1
    last = 0
    for address in sorted({*wanted, *heads}):
        port = wanted.get(address)
        if port is None:
            yield address, None
            continue
        want = port.functions[0].address.bus
        if want < bus or any(behind.address.slot != (0, want, 0) for behind in port.functions):
            raise BadInput(
                f"{port.functions[0].address} cannot be behind {address}",
                place=port.place,
                hint="bus numbers rise with the addresses of the root ports, one bus to a port",
            )
        while bus < want:
            last = max(last + 1, 1)
            while last in _TAKEN_SLOTS or last in {item.device for item in wanted}:
                last += 1
            if last >= address.device:
                raise BadInput(
                    f"no room for the buses before {want:02x}", place=port.place, hint="use lower bus numbers"
                )
            yield Address(0, 0, last, 0), None
            bus += 1
        last = address.device
        yield address, port
        bus += 1


def _own(function: PlannedFunction) -> OwnDevice | None:
    if function.passed:
        return None
    fitting = [prefix for prefix in _OWN_DEVICES if function.class_code.startswith(prefix)]
    return _OWN_DEVICES[max(fitting, key=len)] if fitting else None


def socket_name(function: PlannedFunction) -> str:
    """The name of an emulated function; its socket in the run directory is `NAME.sock`."""
    address = function.address
    return f"fn-{address.bus:02x}-{address.device:02x}-{address.function:x}"


def _emulated(function: PlannedFunction, bus: str, several: bool) -> str:
    socket = {"type": "unix", "path": f"{socket_name(function)}.sock"}
    device = {
        "driver": "vfio-user-pci",
        "id": socket_name(function),
        "bus": bus,
        "addr": f"{function.address.device:x}.{function.address.function:x}",
        "socket": socket,
    }
    return json.dumps({**device, "multifunction": True} if several else device)


def _spec(function: PlannedFunction, several: bool) -> FunctionSpec:
    subsystem = function.subsystem or IdPair(0, 0)
    return FunctionSpec(
        name=socket_name(function),
        vendor_id=function.ids.vendor,
        device_id=function.ids.device,
        class_code=int(function.class_code, 16),
        subsystem_vendor_id=subsystem.vendor,
        subsystem_id=subsystem.device,
        revision=function.revision,
        bars=tuple(Bar(index=bar.index, size=bar.size, kind=BarKind(bar.kind)) for bar in function.bars),
        interrupt_pin=function.address.function % 4 + 1,
        multifunction=several,
        msi_vectors=1,
    )


def _modalias(ids: IdPair, subsystem: IdPair | None, class_code: str) -> str:
    """As the kernel spells it (drivers/pci/pci-sysfs.c modalias_show)."""
    own = subsystem or IdPair(0, 0)
    base, sub, interface = class_code[0:2], class_code[2:4], class_code[4:6]
    return (
        f"pci:v{ids.vendor:08X}d{ids.device:08X}sv{own.vendor:08X}sd{own.device:08X}"
        f"bc{base.upper()}sc{sub.upper()}i{interface.upper()}"
    )
