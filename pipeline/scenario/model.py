"""What an owner may write in a scenario."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.scenario.board import Board, Function
from pipeline.scenario.grammar import (
    AbsolutePath,
    BootOrder,
    CheckId,
    CpuModel,
    FindingCode,
    HookName,
    InterfaceName,
    KernelParameter,
    KernelSeries,
    MachineType,
    Memory,
    ModuleName,
    Name,
    PciAddress,
    PciIdPair,
    Prose,
    QemuRelease,
    RootDevice,
    ServiceName,
    Year,
)
from pipeline.scenario.part import Part


class Cpu(Part):
    """The host's processor."""

    vendor: Literal["amd", "intel"]
    model: CpuModel = ""
    cores: Annotated[int, Field(ge=1, le=512)]
    threads_per_core: Literal[1, 2] = 1
    assumed: bool = Field(False, description="true where the source of this scenario does not say it")


class Vfio(Part):
    """What to write into modprobe.d; everything left out is derived from `passthrough`."""

    ids: tuple[PciIdPair, ...] | None = Field(
        None, description="ids= of vfio-pci instead of the derived ones"
    )
    softdeps: bool = Field(True, description="make every known competing driver load after vfio-pci")
    when: Literal["boot", "guest-start"] = Field(
        "boot",
        description="when vfio-pci gets the functions: at boot, or when the guest starts, where the host uses the "
        "card until then (a host with one GPU)",
    )


class Initramfs(Part):
    """The initramfs generator and, where the owner insists, its exact lists."""

    generator: Literal["mkinitcpio", "dracut", "initramfs-tools"] | None = Field(
        None, description="the distribution's where left out"
    )
    modules: tuple[ModuleName, ...] | None = Field(
        None, description="modules to load early, in this order, instead of the derived ones"
    )
    extra_modules: tuple[ModuleName, ...] = Field((), description="the owner's own, after the derived ones")
    hooks: tuple[HookName, ...] | None = Field(
        None, description="HOOKS of mkinitcpio instead of the distribution's"
    )


class Host(Part):
    """The machine that will be rebooted."""

    distribution: Literal["manjaro", "arch", "debian", "fedora"]
    year: Year = Field(description="which generation of the distribution's defaults and paths")
    cpu: Cpu
    memory: Memory
    kernel: KernelSeries = Field(description="kernel series, such as '6.12'")
    qemu: QemuRelease = Field(description="QEMU release on the host, such as '11.1'")
    bootloader: Literal["grub", "systemd-boot", "uki"] | None = Field(
        None, description="the distribution's where left out"
    )
    root: RootDevice | None = Field(
        None,
        description="the root file system: systemd-boot's entry and the command line of a unified kernel image name "
        "it, grub-mkconfig finds it itself",
    )
    kernel_parameters: tuple[KernelParameter, ...] | None = Field(
        None,
        description="the owner's own parameters; the distribution's defaults where left out",
    )
    display_manager: ServiceName | None = Field(
        None,
        description="what shows on the card and is stopped while the guest has it, such as 'sddm'; only with "
        "host.vfio.when guest-start",
    )
    initramfs: Initramfs = Initramfs()
    vfio: Vfio = Vfio()


class Disk(Part):
    """The guest's system disk."""

    path: AbsolutePath
    format: Literal["qcow2", "raw"] = "qcow2"
    bus: Literal["sata", "virtio"] = "sata"
    boot: BootOrder | None = None


class Medium(Part):
    """An ISO image in a CD drive of the guest."""

    path: AbsolutePath
    boot: BootOrder | None = None


class GuestCpu(Part):
    """The guest's processor."""

    mode: Literal["host-model", "host-passthrough"] = "host-model"
    cores: Annotated[int, Field(ge=1, le=255)]
    threads_per_core: Literal[1, 2] = 1


class Network(Part):
    """The guest's network card on a bridge of the host."""

    bridge: InterfaceName
    model: Literal["e1000e", "virtio"] = "e1000e"


class HostDevice(Part):
    """A function as the domain names it; only to override what `passthrough` gives."""

    source: PciAddress
    rom_bar: bool = True


class Guest(Part):
    """The virtual machine that gets the device."""

    name: Name
    os: Literal["windows10", "windows11", "linux"]
    machine: MachineType = Field(description="pinned machine type, such as 'pc-q35-9.2'")
    cpu: GuestCpu
    memory: Memory
    disk: Disk
    media: Annotated[tuple[Medium, ...], Field(max_length=4)] = ()
    network: Network | None = None
    host_devices: tuple[HostDevice, ...] | None = Field(
        None,
        description="the domain's hostdevs instead of one for each passed-through function",
    )


class Failing(Part):
    """A check that must fail, as the verdict names it, and why it does."""

    check: CheckId
    because: Prose


class Known(Part):
    """A finding of lint that the owner knows of, and why it stays."""

    finding: FindingCode
    because: Prose


class Expect(Part):
    """What the owner knows of the machine and wants proven instead of the predicted."""

    groups: tuple[Annotated[tuple[PciAddress, ...], Field(min_length=1)], ...] | None = Field(
        None, description="each IOMMU group of interest, with exactly its functions"
    )
    failing: tuple[Failing, ...] = Field(
        (), description="checks that must fail: a scenario that shows a mistake; `verify --all` compares"
    )
    findings: tuple[Known, ...] = Field(
        (), description="findings of lint that are known and stay; `faults` compares"
    )


class Scenario(Part):
    """A host, the board in it, what is passed through, and the guest that gets it."""

    schema_: Literal[1] = Field(alias="schema")
    name: Name
    description: Prose = ""
    host: Host
    board: Board
    passthrough: Annotated[tuple[PciAddress, ...], Field(min_length=1, max_length=16)]
    guest: Guest
    expect: Expect = Expect()

    @property
    def functions(self) -> tuple[Function, ...]:
        """Every function that is no bridge, in the order of the board."""
        return tuple(placed.entry for placed in self.board.placed() if isinstance(placed.entry, Function))
