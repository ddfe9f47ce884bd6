"""The guest of a scenario as a domain, with the places that its values have in the scenario."""

from __future__ import annotations

from pipeline.plan import Plan
from pipeline.plan.model import PlannedHostDevice, Written
from pipeline.scenario import Loaded
from pipeline.setup.domain import Disk, Domain, Firmware, GuestAddress, GuestCpu, HostDevice


def domain_of(plan: Plan, loaded: Loaded) -> Domain:
    """What pipeline.render.domain writes for the guest, as if it had been read from the scenario."""
    guest, place = plan.guest, loaded.source.place
    firmware = place(("host", "distribution"))
    return Domain(
        name=guest.name,
        place=place(("guest",)),
        machine=guest.machine,
        # In whole KiB, as libvirt has it.
        memory=Written(value=-(-guest.memory // 1024) * 1024, place=place(("guest", "memory"))),
        threads=Written(value=guest.cores * guest.threads_per_core, place=place(("guest", "cpu", "cores"))),
        firmware=Firmware(
            place=firmware,
            loader=Written(value=guest.loader, place=firmware),
            template=Written(value=guest.nvram_template, place=firmware),
            nvram=Written(value=guest.nvram, place=firmware),
        ),
        cpu=GuestCpu(
            mode=guest.cpu_mode,
            place=place(("guest", "cpu")),
            topology=(1, guest.cores, guest.threads_per_core),
        ),
        host_devices=tuple(_host_device(device) for device in guest.host_devices),
        host_devices_where=place(("guest", "host_devices")),
        os=guest.os,
        disks=tuple(
            Disk(
                path=disk.path,
                device="cdrom" if disk.cdrom else "disk",
                bus=disk.bus,
                place=disk.place,
                boot=disk.boot,
            )
            for disk in guest.disks
        ),
        videos=(Written(value="none", place=place(("guest",))),),
        tpm=guest.os == "windows11",
    )


def _host_device(device: PlannedHostDevice) -> HostDevice:
    return HostDevice(
        source=device.source,
        place=device.place,
        managed=True,
        # Behind the root port with index N is bus N; the cards come first.
        address=GuestAddress(
            bus=device.slot + 1, slot=0, function=device.function, multifunction=device.multifunction
        ),
        rom_bar=None if device.rom_bar else False,
    )
