"""The Plan: everything decided about a scenario, with the place each decision comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from pipeline.errors import Place
from pipeline.facts.distributions import Distribution
from pipeline.pci import Address
from pipeline.plan.topology import PlannedFunction, Topology

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Written(Generic[T]):
    """A value with the place of the scenario that it comes from."""

    value: T
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Handover:
    """How a host that uses the card itself hands it to the guest when that starts, and takes it back.

    `hook` is the script that libvirt runs for it, a path below /. `display_manager` is the unit that shows on the
    card, None where there is none. `unload` are modules without which the card's driver lets go, in this order.
    """

    hook: str
    display_manager: Written[str] | None
    unload: tuple[str, ...]
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class HostPlan:
    """What the host's configuration shall say.

    `overrides` are functions that their ids do not tell from others: vfio-pci gets them by driver_override.
    `handover` is None where vfio-pci has the functions from boot on.
    """

    distribution: Distribution
    generator: str
    bootloader: str
    root: str | None
    year: int
    cpu_vendor: str
    threads: int
    memory: int
    kernel: str
    qemu: str
    kernel_parameters: tuple[Written[str], ...]
    vfio_ids: tuple[Written[str], ...]
    overrides: tuple[Address, ...]
    softdeps: tuple[tuple[str, str], ...]
    modules: tuple[Written[str], ...]
    hooks: tuple[Written[str], ...]
    handover: Handover | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedHostDevice:
    """A hostdev of the domain: which function of the host, where the guest finds it.

    `slot` counts the slots for passed-through cards from 0; each has its own root port in the guest.
    """

    source: Address
    slot: int
    function: int
    multifunction: bool
    rom_bar: bool
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedDisk:
    """A disk or CD drive of the guest."""

    path: str
    format: str
    bus: str
    cdrom: bool
    boot: int | None
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestPlan:
    """What the domain shall say. Memory in bytes."""

    name: str
    os: str
    machine: Written[str]
    cpu_mode: str
    cores: int
    threads_per_core: int
    memory: int
    loader: str
    nvram_template: str
    nvram: str
    disks: tuple[PlannedDisk, ...]
    bridge: str | None
    network_model: str
    host_devices: tuple[PlannedHostDevice, ...]


class Stage(StrEnum):
    """Where an expectation is checked."""

    HOST = "host"
    GUEST = "guest"


class Check(StrEnum):
    """The kinds of expectations; each has one check of its own."""

    INITRAMFS = "initramfs"
    LOADER = "boot-loader"
    BOOTS = "boots"
    CMDLINE = "cmdline"
    IOMMU = "iommu"
    PRESENT = "present"
    GROUP = "group"
    VIABLE = "viable"
    BINDING = "binding"
    FIRST_DRIVER = "first-driver"
    STAYS = "stays"
    OWN_DRIVER = "own-driver"
    VFIO_NODE = "vfio-node"
    UNHELD = "unheld"
    HOOK = "hook"
    DISPLAY = "display"
    DOMAIN_DEFINED = "domain-defined"
    DOMAIN_STARTED = "domain-started"
    FIRMWARE = "firmware"
    MACHINE = "machine"
    GUEST_FUNCTION = "guest-function"
    GUEST_PORT = "guest-port"
    FUNCTION_BAR = "function-bar"
    FUNCTION_INTX = "function-intx"
    FUNCTION_MSI = "function-msi"
    FUNCTION_DMA = "function-dma"
    FUNCTION_BLOCKED = "function-blocked-dma"
    FUNCTION_FAULT = "function-fault"
    FUNCTION_RESET = "function-reset"
    FUNCTION_REBOOT = "function-after-reboot"
    FUNCTION_RESTART = "function-after-restart"
    HANDED_OVER = "handed-over"
    DISPLAY_STOPPED = "display-stopped"
    SCREEN_FREED = "screen-freed"
    GUEST_ENDED = "guest-ended"
    GIVEN_BACK = "given-back"
    DISPLAY_BACK = "display-back"
    SCREEN_BACK = "screen-back"


# What is looked at on the host while the guest runs, and when it has ended.
WHILE_RUNNING = frozenset({Check.HANDED_OVER, Check.DISPLAY_STOPPED, Check.SCREEN_FREED})
AFTERWARDS = frozenset({Check.GIVEN_BACK, Check.DISPLAY_BACK, Check.SCREEN_BACK})


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """One thing that must hold: what is compared, with what, and which line asked for it.

    `expected` is a text or a sorted tuple of texts; `subject` names what it is about (a function's address,
    a kernel parameter). `why` says what it means for the owner when it does not hold, `fix` what to do.
    """

    check: Check
    stage: Stage
    subject: str
    expected: str | tuple[str, ...]
    place: Place
    why: str
    fix: str

    @property
    def id(self) -> str:
        """Stable name of the check, such as `binding[01:00.0]`."""
        return f"{self.check.value}[{self.subject}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A scenario with everything decided.

    `way_back` is what must hold when the owner boots the entry without passthrough.
    """

    name: str
    host: HostPlan
    topology: Topology
    guest: GuestPlan
    expectations: tuple[Expectation, ...]
    way_back: tuple[Expectation, ...]

    @property
    def functions(self) -> tuple[PlannedFunction, ...]:
        """Every function of the board that is no bridge, in the order of the scenario."""
        return self.topology.functions

    @property
    def passed(self) -> tuple[PlannedFunction, ...]:
        """The functions that are passed through."""
        return tuple(function for function in self.functions if function.passed)
