"""A libvirt domain as `virsh dumpxml` prints it or /etc/libvirt/qemu/NAME.xml has it, with the place of everything.

What the XML leaves out is taken as libvirt takes it (docs/formatdomain.rst); what libvirt would refuse is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import BadInput, Place
from pipeline.facts import guests
from pipeline.files import numbers
from pipeline.files.devices import disks, host_devices, network_boots, videos
from pipeline.files.element import Element
from pipeline.files.xml import parse
from pipeline.plan.model import Written
from pipeline.setup.domain import Domain, Firmware, GuestCpu, Hidden, Pin

_WRAPPERS = {"domstatus", "domainsnapshot", "domaincheckpoint", "domains"}
_KINDS = {"kvm", "qemu"}
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
_OSINFO = "{http://libosinfo.org/xmlns/libvirt/domain/1.0}os"
_VCPUS = 4096
# Of all pins together: a mask of 16384 processors for each of thousands of vcpus would fill the memory.
_PINNED = 1 << 19
_HINT = "`virsh dumpxml NAME` prints a domain; `virt-xml-validate FILE domain` checks a file"


def read_domains(data: bytes, *, shown: str) -> tuple[Domain, ...]:
    """Every domain in `data`, a file that messages call `shown`.

    A `<domstatus>` or `<domainsnapshot>` may be around it. Raises BadInput, with file, line and column, where the
    data is no XML, no domain of QEMU, or has a value that libvirt refuses too.
    """
    document = parse(data, shown=shown)
    root = Element(document.root, document)
    found = (root,) if root.tag == "domain" else tuple(root.all("domain")) if root.tag in _WRAPPERS else ()
    if not found:
        raise BadInput(f"<{root.tag[:40]}> is no libvirt domain", place=root.place, hint=_HINT)
    return tuple(_domain(one) for one in found)


def _domain(root: Element) -> Domain:
    kind = root.get("type") or ""
    if kind not in _KINDS:
        raise BadInput(
            f"a domain of type {kind[:40]!r} is no guest of QEMU",
            place=root.at("type"),
            hint="a PCI function can be given to domains of type kvm or qemu",
        )
    name = root.child("name")
    if name is None or not name.text:
        raise BadInput("the domain has no name", place=root.place, hint=_HINT)
    os = root.child("os")
    if os is None or os.child("type") is None:
        raise BadInput("the domain has no <os><type>", place=(os or root).place, hint=_HINT)
    devices = root.child("devices")
    booted = tuple(
        Written(value=one.get("dev") or "", place=one.at("dev")) for one in os.all("boot") if one.get("dev")
    )
    threads = _threads(root)
    all_host_devices = host_devices(devices)
    return Domain(
        name=name.text,
        place=root.place,
        kind=kind,
        machine=_machine(os),
        memory=_memory(root),
        threads=threads,
        firmware=_firmware(os),
        cpu=_cpu(root),
        host_devices=all_host_devices,
        host_devices_where=all_host_devices[0].place if all_host_devices else (devices or root).place,
        os=_system(root, name.text),
        disks=disks(devices, [one.value for one in booted]),
        videos=videos(devices),
        tpm=any(_is_tpm2(one) for one in (devices.all("tpm") if devices else ())),
        hugepages=_place_of(root, "memoryBacking", "hugepages"),
        irqchip=_irqchip(root),
        pins=tuple(_pins(root, threads.value)),
        hidden=Hidden(
            kvm=_turned_on(root, "features", "kvm", "hidden"),
            vendor_id=_turned_on(root, "features", "hyperv", "vendor_id"),
        ),
        arguments=tuple(
            Written(value=one.get("value") or "", place=one.at("value"))
            for line in root.all(f"{_QEMU}commandline")
            for one in line.all(f"{_QEMU}arg")
        ),
        boot_devices=booted,
        network_boots=network_boots(devices),
    )


def _machine(os: Element) -> Written[str]:
    """What libvirt defines a domain with that names none as: the alias pc."""
    kind = os.child("type") or os
    return Written(value=kind.get("machine") or "pc", place=kind.at("machine"))


def _memory(root: Element) -> Written[int]:
    """The guest's memory in bytes: of `<memory>`, or of the cells of its NUMA nodes."""
    memory = root.child("memory")
    if memory is not None:
        scale = memory.number("unit", numbers.scale) or 1024
        return Written(value=memory.value(numbers.decimal) * scale, place=memory.text_place)
    cells = [*root.below("cpu", "numa", "cell")]
    sizes = [
        (one.number("memory", numbers.decimal) or 0) * (one.number("unit", numbers.scale) or 1024)
        for one in cells
    ]
    if not any(sizes):
        raise BadInput("the domain has no <memory>", place=root.place, hint=_HINT)
    return Written(value=sum(sizes), place=cells[0].at("memory"))


def _threads(root: Element) -> Written[int]:
    vcpu = root.child("vcpu")
    if vcpu is None:
        return Written(value=1, place=root.place)
    number = vcpu.number("current", numbers.decimal)
    number = vcpu.value(numbers.decimal) if number is None else number
    if not 1 <= number <= _VCPUS:
        raise BadInput(f"{number} is no number of processors", place=vcpu.text_place, hint=f"1 to {_VCPUS}")
    return Written(value=number, place=vcpu.at("current") if vcpu.get("current") else vcpu.text_place)


def _firmware(os: Element) -> Firmware:
    loader, nvram = os.child("loader"), os.child("nvram")
    features = {one.get("name"): one.get("enabled") == "yes" for one in os.below("firmware", "feature")}
    secure = features.get("secure-boot")
    if secure is None and loader is not None and loader.get("secure") is not None:
        secure = loader.get("secure") == "yes"
    template = nvram.get("template") if nvram else None
    return Firmware(
        place=(loader or os).place,
        automatic=os.get("firmware") == "efi",
        loader=_path(loader),
        template=Written(value=template, place=nvram.at("template")) if nvram and template else None,
        nvram=_path(nvram),
        secure_boot=secure,
        enrolled_keys=features.get("enrolled-keys"),
    )


def _path(element: Element | None) -> Written[str] | None:
    """A path as text, or of a `<source file=…>` as newer libvirts have it."""
    if element is None:
        return None
    if element.text:
        return Written(value=element.text, place=element.text_place)
    source = element.child("source")
    path = source.get("file") if source else None
    return Written(value=path, place=source.at("file")) if source and path else None


def _cpu(root: Element) -> GuestCpu:
    """`<cpu>`; its mode is custom where it has none, and empty where there is no `<cpu>` at all."""
    cpu = root.child("cpu")
    if cpu is None:
        return GuestCpu(mode="", place=root.place)
    topology = cpu.child("topology")
    counts = None
    if topology is not None:
        part = {
            key: topology.number(key, numbers.decimal)
            for key in ("sockets", "dies", "clusters", "cores", "threads")
        }
        sockets, cores, threads = (part[key] or 1 for key in ("sockets", "cores", "threads"))
        counts = (sockets * (part["dies"] or 1) * (part["clusters"] or 1), cores, threads)
    migratable = cpu.get("migratable")
    return GuestCpu(
        mode=cpu.get("mode") or "custom",
        place=cpu.place,
        topology=counts,
        migratable=None if migratable is None else migratable == "on",
    )


def _system(root: Element, name: str) -> str | None:
    """The operating system: what libosinfo's metadata says, else what Hyper-V features and the name say."""
    for metadata in root.all("metadata"):
        for element in metadata.everywhere(_OSINFO):
            return guests.by_id(element.get("id") or "")
    guessed = guests.by_name(name)
    if any(one.get("state") != "off" for one in root.below("features", "hyperv", "*")):
        return guessed if guessed and guessed.startswith("windows") else "windows"
    return guessed


def _is_tpm2(tpm: Element) -> bool:
    backend = tpm.child("backend")
    return backend is None or backend.get("version") != "1.2"


def _irqchip(root: Element) -> Written[str] | None:
    for ioapic in root.below("features", "ioapic"):
        driver = ioapic.get("driver")
        if driver:
            return Written(value=driver, place=ioapic.at("driver"))
    return None


def _pins(root: Element, threads: int) -> Iterator[Pin]:
    """The pins of the vcpus, by `<vcpu cpuset=…>` where one has none of its own, and those of the emulator."""
    own: dict[int, Pin] = {}
    size = 0
    for one in root.below("cputune", "vcpupin"):
        vcpu = one.number("vcpu", numbers.decimal)
        cpus = one.number("cpuset", numbers.cpuset)
        if vcpu is not None and cpus is not None:
            size += len(cpus)
            if size > _PINNED:
                raise BadInput(f"more than {_PINNED} processors in pins", place=one.place, hint=_HINT)
            own[vcpu] = Pin(vcpu=vcpu, cpus=cpus, place=one.place)
    everywhere = root.child("vcpu")
    shared = everywhere.number("cpuset", numbers.cpuset) if everywhere else None
    if everywhere is not None and shared is not None:
        for vcpu in range(threads):
            own.setdefault(vcpu, Pin(vcpu=vcpu, cpus=shared, place=everywhere.at("cpuset")))
    yield from (own[vcpu] for vcpu in sorted(own))
    for one in [*root.below("cputune", "emulatorpin")][:1]:
        cpus = one.number("cpuset", numbers.cpuset)
        if cpus is not None:
            yield Pin(vcpu=None, cpus=cpus, place=one.place)


def _place_of(root: Element, *path: str) -> Place | None:
    return next((one.place for one in root.below(*path)), None)


def _turned_on(root: Element, *path: str) -> Place | None:
    return next((one.place for one in root.below(*path) if one.get("state") == "on"), None)
