"""Scenario and facts to Plan: every decision is taken here; pure."""

from __future__ import annotations

from pipeline.errors import BadInput
from pipeline.facts import distributions, kernels
from pipeline.facts.distributions import Distribution
from pipeline.pci import Address
from pipeline.plan.board import plan_topology
from pipeline.plan.expectations import derive
from pipeline.plan.handover import handover
from pipeline.plan.model import (
    GuestPlan,
    HostPlan,
    Plan,
    PlannedDisk,
    PlannedHostDevice,
    Written,
)
from pipeline.plan.topology import PlannedFunction, Topology
from pipeline.plan.way_back import way_back
from pipeline.scenario.loader import Loaded
from pipeline.scenario.model import Scenario
from pipeline.scenario.source import Path, Source

NVRAM_DIRECTORY = "/var/lib/libvirt/qemu/nvram"


def resolve(loaded: Loaded) -> Plan:
    """Decide everything that `loaded` leaves open.

    Raises BadInput where no facts are known about what it asks for.
    """
    scenario, source = loaded.scenario, loaded.source
    topology = plan_topology(scenario, source)
    host = _host(scenario, source, topology)
    guest = _guest(scenario, source, host)
    return Plan(
        name=scenario.name,
        host=host,
        topology=topology,
        guest=guest,
        way_back=way_back(host, topology, source=source),
        expectations=derive(
            host,
            topology,
            guest,
            stated_groups=scenario.expect.groups or (),
            source=source,
        ),
    )


def _host(scenario: Scenario, source: Source, topology: Topology) -> HostPlan:
    host = scenario.host
    try:
        facts = distributions.distribution(host.distribution, year=host.year, kernel=host.kernel)
    except LookupError as error:
        raise BadInput(str(error), place=source.place(("host", "year"))) from None
    passed = [function for function in topology.functions if function.passed]
    later = handover(scenario, source, passed)
    overrides = () if later else _overrides(scenario, topology)
    pairs = [(driver, "vfio-pci") for function in passed for driver in function.drivers]
    return HostPlan(
        distribution=facts,
        generator=_generator(scenario, source, facts),
        bootloader=_bootloader(scenario, source, facts),
        root=host.root,
        year=host.year,
        cpu_vendor=host.cpu.vendor,
        threads=host.cpu.cores * host.cpu.threads_per_core,
        memory=host.memory,
        kernel=host.kernel,
        qemu=host.qemu,
        kernel_parameters=_kernel_parameters(scenario, source, facts),
        vfio_ids=_vfio_ids(
            scenario, source, [one for one in passed if not later and one.address not in overrides]
        ),
        overrides=overrides,
        softdeps=tuple(dict.fromkeys(pairs)) if host.vfio.softdeps and not later else (),
        modules=_modules(scenario, source),
        hooks=_hooks(scenario, source, facts.hooks),
        handover=later,
    )


def _generator(scenario: Scenario, source: Source, facts: Distribution) -> str:
    initramfs = scenario.host.initramfs
    path: Path = ("host", "initramfs", "generator")
    chosen = _one_of(initramfs.generator, facts.generators, source, path, facts)
    if chosen == "mkinitcpio":
        return chosen
    if initramfs.hooks is not None:
        raise BadInput(
            f"only mkinitcpio has HOOKS, and the initramfs is made by {chosen}",
            place=source.place(("host", "initramfs", "hooks")),
            hint="leave host.initramfs.hooks out",
        )
    for key, names in (("modules", initramfs.modules), ("extra_modules", initramfs.extra_modules)):
        for index, name in enumerate(names or ()):
            if name.endswith("?"):
                raise BadInput(
                    f"{name}: only mkinitcpio reads a question mark, and the initramfs is made by {chosen}",
                    place=source.place(("host", "initramfs", key, index)),
                    hint=f"write {name.removesuffix('?')}; {chosen} passes over a module that is missing",
                )
    return chosen


def _bootloader(scenario: Scenario, source: Source, facts: Distribution) -> str:
    host = scenario.host
    path: Path = ("host", "bootloader")
    chosen = _one_of(host.bootloader, facts.bootloaders, source, path, facts)
    if chosen != "grub" and host.root is None:
        what = "systemd-boot's entry" if chosen == "systemd-boot" else "a unified kernel image"
        raise BadInput(
            f"{what} has to name the root file system, and host.root is missing",
            place=source.place(path),
            hint="host.root: UUID=... as `findmnt -no UUID /` says on the host",
        )
    if chosen == "grub" and host.root is not None:
        raise BadInput(
            "grub-mkconfig finds the root file system itself, so host.root would not be used",
            place=source.place(("host", "root")),
            hint="leave host.root out",
        )
    return chosen


def _one_of(
    asked: str | None, known: tuple[str, ...], source: Source, path: Path, facts: Distribution
) -> str:
    """What is asked for, the distribution's own where nothing is; BadInput where there are no facts about it."""
    if asked is None:
        return known[0]
    if asked not in known:
        raise BadInput(
            f"no facts about {facts.os_release['NAME']} with {asked}",
            place=source.place(path),
            hint=f"known with it: {', '.join(known)}",
        )
    return asked


def _kernel_parameters(scenario: Scenario, source: Source, facts: Distribution) -> tuple[Written[str], ...]:
    """The owner's own (or the distribution's), and after them what the IOMMU needs and nobody wrote."""
    path: Path = ("host", "kernel_parameters")
    own = scenario.host.kernel_parameters
    if own is None:
        written = tuple(
            Written(value=value, place=source.place(("host",))) for value in facts.kernel_parameters
        )
    else:
        written = tuple(
            Written(value=value, place=source.place((*path, index))) for index, value in enumerate(own)
        )
    names = {item.value.partition("=")[0] for item in written}
    needed = tuple(
        Written(value=value, place=source.place(("host", "cpu")))
        for value in kernels.iommu_parameters(scenario.host.cpu.vendor, distribution=facts.distribution)
        if value.partition("=")[0] not in names
    )
    return (*written, *needed)


def _overrides(scenario: Scenario, topology: Topology) -> tuple[Address, ...]:
    """Every passed function of a slot in which one has a twin: a card is taken one way or the other, whole."""
    if scenario.host.vfio.ids is not None:
        return ()
    twins = {one.ids for one in topology.functions if one.twin}
    slots = {one.address.slot for one in topology.functions if one.passed and one.ids in twins}
    return tuple(one.address for one in topology.functions if one.passed and one.address.slot in slots)


def _vfio_ids(scenario: Scenario, source: Source, passed: list[PlannedFunction]) -> tuple[Written[str], ...]:
    explicit = scenario.host.vfio.ids
    if explicit is not None:
        return tuple(
            Written(value=value, place=source.place(("host", "vfio", "ids", index)))
            for index, value in enumerate(explicit)
        )
    derived = {str(function.ids): function.place for function in reversed(passed)}
    return tuple(
        Written(value=ids, place=derived[ids])
        for ids in dict.fromkeys(str(function.ids) for function in passed)
    )


def _modules(scenario: Scenario, source: Source) -> tuple[Written[str], ...]:
    initramfs = scenario.host.initramfs
    path: Path = ("host", "initramfs")
    if initramfs.modules is not None:
        derived = tuple(
            Written(value=value, place=source.place((*path, "modules", index)))
            for index, value in enumerate(initramfs.modules)
        )
    else:
        place = source.place(("host", "kernel"))
        early = scenario.host.vfio.when == "boot"
        names = kernels.vfio_modules(scenario.host.kernel) if early else ()
        derived = tuple(Written(value=value, place=place) for value in names)
    extra = tuple(
        Written(value=value, place=source.place((*path, "extra_modules", index)))
        for index, value in enumerate(initramfs.extra_modules)
    )
    return (*derived, *extra)


def _hooks(scenario: Scenario, source: Source, defaults: tuple[str, ...]) -> tuple[Written[str], ...]:
    explicit = scenario.host.initramfs.hooks
    if explicit is None:
        place = source.place(("host", "initramfs"))
        return tuple(Written(value=value, place=place) for value in defaults)
    return tuple(
        Written(value=value, place=source.place(("host", "initramfs", "hooks", index)))
        for index, value in enumerate(explicit)
    )


def _guest(scenario: Scenario, source: Source, host: HostPlan) -> GuestPlan:
    guest = scenario.guest
    disk_place = source.place(("guest", "disk", "path"))
    disks = [
        PlannedDisk(
            path=guest.disk.path,
            format=guest.disk.format,
            bus=guest.disk.bus,
            cdrom=False,
            boot=guest.disk.boot,
            place=disk_place,
        )
    ]
    disks += [
        PlannedDisk(
            path=medium.path,
            format="raw",
            bus="sata",
            cdrom=True,
            boot=medium.boot,
            place=source.place(("guest", "media", index, "path")),
        )
        for index, medium in enumerate(guest.media)
    ]
    orders = [disk.boot for disk in disks if disk.boot is not None]
    if len(orders) != len(set(orders)):
        raise BadInput("two disks have the same place in the boot order", place=disk_place)
    return GuestPlan(
        name=guest.name,
        os=guest.os,
        machine=Written(value=guest.machine, place=source.place(("guest", "machine"))),
        cpu_mode=guest.cpu.mode,
        cores=guest.cpu.cores,
        threads_per_core=guest.cpu.threads_per_core,
        memory=guest.memory,
        loader=host.distribution.ovmf_code,
        nvram_template=host.distribution.ovmf_vars,
        nvram=f"{NVRAM_DIRECTORY}/{guest.name}_VARS.fd",
        disks=tuple(disks),
        bridge=guest.network.bridge if guest.network else None,
        network_model=guest.network.model if guest.network else "e1000e",
        host_devices=_host_devices(scenario, source),
    )


def _host_devices(scenario: Scenario, source: Source) -> tuple[PlannedHostDevice, ...]:
    """The functions of one slot stay functions of one slot in the guest, in the same order."""
    explicit = scenario.guest.host_devices
    if explicit is not None:
        wanted = [
            (
                Address.parse(device.source),
                device.rom_bar,
                source.place(("guest", "host_devices", index, "source")),
            )
            for index, device in enumerate(explicit)
        ]
    else:
        wanted = [
            (Address.parse(address), True, source.place(("passthrough", index)))
            for index, address in enumerate(scenario.passthrough)
        ]
    slots = list(dict.fromkeys(address.slot for address, _, _ in wanted))
    devices = []
    for address, rom_bar, place in wanted:
        mates = sorted(other for other, _, _ in wanted if other.slot == address.slot)
        # Function 0 has to exist, else nothing looks for the others (PCI Local Bus 3.0, 3.2.2.3.4).
        function = address.function if mates[0].function == 0 else mates.index(address)
        devices.append(
            PlannedHostDevice(
                source=address,
                slot=slots.index(address.slot),
                function=function,
                multifunction=function == 0 and len(mates) > 1,
                rom_bar=rom_bar,
                place=place,
            )
        )
    return tuple(devices)
