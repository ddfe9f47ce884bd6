"""A libvirt domain as the rules see it, with the place of everything that was written in it.

Names of the parts are those of libvirt's docs/formatdomain.rst. None means that the domain does not say it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import Place
from pipeline.pci import Address
from pipeline.plan.model import Written


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestAddress:
    """Where the guest finds a device: an address of type='pci'."""

    bus: int
    slot: int
    function: int
    multifunction: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class HostDevice:
    """`<hostdev type='pci'>`: `rom_bar` is None where `<rom>` does not say it, `rom_file` empty without one."""

    source: Address
    place: Place
    managed: bool = True
    address: GuestAddress | None = None
    rom_bar: bool | None = None
    rom_file: str = ""
    boot: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """`<disk>`: `device` is disk, cdrom or floppy; `boot` is the number of `<boot order=…>`."""

    path: str
    device: str
    bus: str
    place: Place
    boot: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Firmware:
    """`<os>`: paths as written, empty where libvirt chooses.

    `automatic`: firmware='efi'. `secure_boot` and `enrolled_keys` are its features, None where left open; for a
    named loader `secure_boot` is its attribute secure=. `place` is that of the loader, else of `<os>`.
    """

    place: Place
    automatic: bool = False
    loader: Written[str] | None = None
    template: Written[str] | None = None
    nvram: Written[str] | None = None
    secure_boot: bool | None = None
    enrolled_keys: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestCpu:
    """`<cpu>`: `topology` is sockets times dies, cores, threads; None where the domain leaves it out."""

    mode: str
    place: Place
    topology: tuple[int, int, int] | None = None
    migratable: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """`<vcpupin>` and `<emulatorpin>`: `vcpu` is None for the emulator's."""

    vcpu: int | None
    cpus: frozenset[int]
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Hidden:
    """Settings that hide the hypervisor from the guest's driver: `<kvm><hidden>` and hyperv's `<vendor_id>`."""

    kvm: Place | None = None
    vendor_id: Place | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """One guest. `memory` in bytes, `os` one of windows10, windows11, windows, linux, or None where it cannot be told.

    `videos` are the models of `<video>`. `hugepages` is the place of `<hugepages/>`; `irqchip` the driver of
    `<ioapic>`. `arguments` are those of `<qemu:commandline>`. `tpm`: it has a TPM 2.0. `kind` is the domain's type=,
    kvm or qemu. `boot_devices` are those of `<os><boot dev=…>`, hd, cdrom, network or fd; `network_boots` the numbers
    of `<boot order=…>` of interfaces.
    """

    name: str
    place: Place
    machine: Written[str]
    memory: Written[int]
    threads: Written[int]
    firmware: Firmware
    cpu: GuestCpu
    host_devices: tuple[HostDevice, ...]
    host_devices_where: Place
    os: str | None = None
    disks: tuple[Disk, ...] = ()
    videos: tuple[Written[str], ...] = ()
    tpm: bool = False
    hugepages: Place | None = None
    irqchip: Written[str] | None = None
    pins: tuple[Pin, ...] = ()
    hidden: Hidden = Hidden()
    arguments: tuple[Written[str], ...] = ()
    kind: str = "kvm"
    boot_devices: tuple[Written[str], ...] = ()
    network_boots: tuple[Written[int], ...] = ()
