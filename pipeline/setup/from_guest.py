"""The domain that a scenario describes, with the places of the scenario."""

from __future__ import annotations

from pipeline.plan import Plan
from pipeline.plan.model import PlannedDisk, PlannedHostDevice, Written
from pipeline.scenario import Loaded
from pipeline.setup.domain import Disk, Domain, Firmware, GuestAddress, GuestCpu, HostDevice


def domain_of(plan: Plan, loaded: Loaded) -> Domain:
    """What the rendered domain says."""
    guest, place = plan.guest, loaded.source.place
    return Domain(
        name=guest.name,
        place=place(("guest",)),
        machine=guest.machine,
        memory=Written(value=guest.memory, place=place(("guest", "memory"))),
        threads=Written(value=guest.cores * guest.threads_per_core, place=place(("guest", "cpu", "cores"))),
        firmware=Firmware(
            place=place(("host", "year")),
            loader=Written(value=guest.loader, place=place(("host", "year"))),
            template=Written(value=guest.nvram_template, place=place(("host", "year"))),
            nvram=Written(value=guest.nvram, place=place(("guest", "name"))),
        ),
        cpu=GuestCpu(
            mode=guest.cpu_mode,
            place=place(("guest", "cpu")),
            topology=(1, guest.cores, guest.threads_per_core),
        ),
        host_devices=tuple(_host_device(device) for device in guest.host_devices),
        host_devices_where=place(("guest", "host_devices")),
        os=guest.os,
        disks=tuple(_disk(disk) for disk in guest.disks),
        videos=(Written(value="none", place=place(("guest",))),),
        tpm=guest.os == "windows11",
    )


def _host_device(device: PlannedHostDevice) -> HostDevice:
    return HostDevice(
        source=device.source,
        place=device.place,
        address=GuestAddress(
            bus=device.slot + 1, slot=0, function=device.function, multifunction=device.multifunction
        ),
        rom_bar=None if device.rom_bar else False,
    )


def _disk(disk: PlannedDisk) -> Disk:
    return Disk(
        path=disk.path,
        device="cdrom" if disk.cdrom else "disk",
        bus=disk.bus,
        place=disk.place,
        boot=disk.boot,
    )
