"""The PCI topology of L1 as QEMU arguments; pure.

Every passed-through function is an emulated function with the scenario's ids (`vfio-user-pci`); the others are
QEMU's own devices of the same class. Firmware gives out bus numbers depth first in the order of the bridges'
addresses (SeaBIOS and OVMF, ran), so each bridge gets the number that the scenario says when spare ports with
nothing behind them take the numbers that the scenario leaves out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.errors import BadInput
from pipeline.lab.device.function import Bar, BarKind, FunctionSpec
from pipeline.lab.own_device import own_device
from pipeline.pci import Address, IdPair
from pipeline.plan.grouping import Rule, predict
from pipeline.plan.model import Plan
from pipeline.plan.topology import Kind, Node, PlannedBridge, PlannedFunction

DISK_SLOT = 0x1D
NETWORK_SLOT = 0x1E
IOMMU_SLOT = 0x1C
# Slots of bus 0 that the machine itself or the lab uses (QEMU hw/i386/pc_q35.c: 00 and 1f).
_TAKEN_SLOTS = {0x00, IOMMU_SLOT, DISK_SLOT, NETWORK_SLOT, 0x1F}
NETWORK_INTERFACE = f"enp0s{NETWORK_SLOT}"
_ROOT_BUS = "pcie.0"
# SeaBIOS stops where the windows need more (src/fw/pciinit.c pci_bios_init_root_regions_io(); ran).
MOST_IO_WINDOWS = 8

# The lab's disk, as a PCI function and on the virtio bus behind it.
_DISK_MODALIASES = ("pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", "virtio:d00000002v00001AF4")


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """What L1 is made of: arguments for QEMU, the emulated functions behind them, and what stands in."""

    arguments: tuple[str, ...]
    emulated: tuple[FunctionSpec, ...]
    own: tuple[tuple[Address, str], ...]
    modaliases: tuple[str, ...]


def lay_out(plan: Plan) -> Board:
    """The board of a plan.

    Raises BadInput where QEMU cannot give it the addresses or the isolation that the scenario says.
    """
    for node in plan.topology.nodes:
        if node.address.device in _TAKEN_SLOTS:
            raise BadInput(
                f"the lab cannot put anything at {node.address}",
                place=node.place,
                hint="use 00:01.0 to 00:1b.7",
            )
    windows = sum(io_windows(node) for node in plan.topology.nodes)
    if windows > MOST_IO_WINDOWS:
        raise BadInput(
            f"the board needs {windows} windows of I/O addresses, and the lab's firmware has {MOST_IO_WINDOWS}",
            place=plan.topology.nodes[0].place,
            hint="leave out I/O BARs or PCIe-to-PCI bridges that have nothing to do with what is passed through",
        )
    joined = predict(plan.topology).joined.values()
    writer = _Writer(
        arguments=[*_iommu(plan.host.cpu_vendor), *_boot_screen(plan)],
        not_isolated=frozenset(join.member for join in joined if join.rule is Rule.NO_ACS),
    )
    writer.bus(plan.topology.nodes, above=None)
    return Board(
        arguments=tuple(writer.arguments),
        emulated=tuple(writer.emulated),
        own=tuple(writer.own),
        modaliases=tuple(writer.modaliases),
    )


def _iommu(vendor: str) -> Iterator[str]:
    if vendor == "amd":
        # Its PCI function is put out of the way: left alone, it takes slot 1 (ran, QEMU 11.1).
        yield from ("-device", f"AMDVI-PCI,id=iommu,addr={IOMMU_SLOT:x}.0")
        yield from ("-device", "amd-iommu,intremap=on,dma-remap=on,pci-id=iommu")
    else:
        yield from ("-device", "intel-iommu,intremap=on,caching-mode=on")


def _boot_screen(plan: Plan) -> Iterator[str]:
    """The firmware's frame buffer, where the host has to let go of one. It is no PCI function, so no group changes."""
    if plan.host.handover:
        yield from ("-device", "ramfb")


def io_windows(node: Node) -> int:
    """How many windows of 4 KiB of I/O addresses a bridge gets for itself and for what is behind it."""
    if isinstance(node, PlannedFunction):
        return 0
    below = sum(io_windows(one) for one in node.behind)
    functions = [one for one in node.behind if isinstance(one, PlannedFunction)]
    # A PCIe-to-PCI bridge has a hotplug controller, for whose sake SeaBIOS gives it a window in any case.
    wanted = any(map(_has_io, functions)) or (node.kind is Kind.PCI_BRIDGE)
    return below + wanted


def _has_io(function: PlannedFunction) -> bool:
    device = own_device(function)
    return device.io if device else any(bar.kind == "io" for bar in function.bars)


@dataclass(kw_only=True, slots=True)
class _Writer:
    """Writes the devices of one bus after the other; `numbered` is the last bus number that firmware gave.

    `not_isolated`: what is in the group of the port above it.
    """

    arguments: list[str]
    not_isolated: frozenset[Address]
    emulated: list[FunctionSpec] = field(default_factory=list)
    own: list[tuple[Address, str]] = field(default_factory=list)
    modaliases: list[str] = field(default_factory=lambda: [*_DISK_MODALIASES])
    numbered: int = 0

    def bus(self, nodes: Sequence[Node], *, above: PlannedBridge | None) -> None:
        """Everything on a bus and behind its bridges, in the order of the addresses."""
        bus = _name(above.bus) if above else _ROOT_BUS
        in_slot = Counter(node.address.slot for node in nodes)
        heads = {node.address.slot for node in nodes if not node.address.function}
        used = {node.address.device for node in nodes} | (set() if above else _TAKEN_SLOTS)
        free = iter([device for device in range(0x20) if device not in used])
        spare = next(free, 0x20)
        for node in sorted(nodes, key=lambda node: node.address):
            slot = node.address.slot
            if slot not in heads:
                # Nothing looks further in a slot that has no function 0.
                heads.add(slot)
                self._device(f"pci-testdev,bus={bus},addr={node.address.device:x}.0,multifunction=on")
            while isinstance(node, PlannedBridge) and self.numbered + 1 < node.bus:
                # A spare port of a switch that does not isolate would be a stranger in its group.
                nowhere = above and (
                    above.kind is not Kind.UPSTREAM_PORT or node.address in self.not_isolated
                )
                if spare >= node.address.device or nowhere:
                    raise BadInput(
                        f"no room for the buses before {node.bus:02x}",
                        place=node.place,
                        hint=f"the bridges before {node.address} take the buses up to {self.numbered:02x}; give it "
                        "the next one, or write the bridges that are missing",
                    )
                self._port(Kind.DOWNSTREAM_PORT if above else Kind.ROOT_PORT, bus, spare)
                spare = next(free, 0x20)
            several = not node.address.function and in_slot[slot] > 1
            if isinstance(node, PlannedBridge):
                while spare < node.address.device:
                    spare = next(free, 0x20)
                self._bridge(node, bus, several)
                self.bus(node.behind, above=node)
            else:
                self._function(node, bus, several)

    def _device(self, text: str) -> None:
        self.arguments += ["-device", text]

    def _port(self, kind: Kind, bus: str, device: int) -> None:
        """A spare port with nothing behind it; it takes the next bus number."""
        model = "pcie-root-port" if kind is Kind.ROOT_PORT else "xio3130-downstream"
        self.numbered += 1
        self._device(f"{model},{_port_options(self.numbered)},bus={bus},addr={device:x}.0")

    def _bridge(self, bridge: PlannedBridge, bus: str, several: bool) -> None:
        self.numbered += 1
        place = f"bus={bus},{_place(bridge.address, several)}"
        match bridge.kind:
            case Kind.ROOT_PORT:
                model = "pcie-root-port" if bridge.acs else "ioh3420"
                self._device(f"{model},{_port_options(bridge.bus)},{place}")
            case Kind.DOWNSTREAM_PORT:
                if bridge.acs:
                    raise BadInput(
                        f"the lab cannot imitate the downstream port {bridge.address}: those of QEMU have no ACS",
                        place=bridge.place,
                        hint="with `acs: false` the group of what is behind it also has the port, and nothing else "
                        "changes; or leave the switch out and put its devices behind root ports",
                    )
                self._device(f"xio3130-downstream,{_port_options(bridge.bus)},{place}")
            case Kind.UPSTREAM_PORT:
                self._device(f"x3130-upstream,id={_name(bridge.bus)},{place}")
            case _:
                self._device(f"pcie-pci-bridge,id={_name(bridge.bus)},{place}")

    def _function(self, function: PlannedFunction, bus: str, several: bool) -> None:
        device = own_device(function)
        if device is None:
            self.emulated.append(_spec(function, several))
            self._device(_emulated(function, bus, several))
            self.modaliases.append(_modalias(function.ids, function.subsystem, function.class_code))
            return
        self._device(f"{device.model},bus={bus},{_place(function.address, several)}")
        self.own.append((function.address, device.model.partition(",")[0]))
        self.modaliases.append(_modalias(device.ids, None, function.class_code))


def _name(bus: int) -> str:
    """The id of the bridge above a bus, which is the name of the bus too."""
    return f"bus{bus:02x}"


def _port_options(bus: int) -> str:
    # Chassis and slot together are to be unique; the number of the bus behind it is.
    return f"id={_name(bus)},chassis={bus},slot={bus}"


def _place(address: Address, several: bool) -> str:
    return f"addr={address.device:x}.{address.function:x}{',multifunction=on' if several else ''}"


def socket_name(address: Address) -> str:
    """The name of the emulated function at an address; its socket in the run directory is `NAME.sock`."""
    return f"fn-{address.bus:02x}-{address.device:02x}-{address.function:x}"


def _emulated(function: PlannedFunction, bus: str, several: bool) -> str:
    socket = {"type": "unix", "path": f"{socket_name(function.address)}.sock"}
    device = {
        "driver": "vfio-user-pci",
        "id": socket_name(function.address),
        "bus": bus,
        "addr": f"{function.address.device:x}.{function.address.function:x}",
        "socket": socket,
    }
    return json.dumps({**device, "multifunction": True} if several else device)


def _spec(function: PlannedFunction, several: bool) -> FunctionSpec:
    subsystem = function.subsystem or IdPair(0, 0)
    return FunctionSpec(
        name=socket_name(function.address),
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
        integrated=function.kind is Kind.INTEGRATED,
    )


def _modalias(ids: IdPair, subsystem: IdPair | None, class_code: str) -> str:
    """As the kernel spells it (drivers/pci/pci-sysfs.c modalias_show)."""
    own = subsystem or IdPair(0, 0)
    base, sub, interface = class_code[0:2], class_code[2:4], class_code[4:6]
    return (
        f"pci:v{ids.vendor:08X}d{ids.device:08X}sv{own.vendor:08X}sd{own.device:08X}"
        f"bc{base.upper()}sc{sub.upper()}i{interface.upper()}"
    )
