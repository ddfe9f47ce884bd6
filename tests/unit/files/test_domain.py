"""Domains as libvirt writes them, and everything that is none."""

import resource
import time
from dataclasses import fields, is_dataclass, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import BadInput, Place
from pipeline.files.domain import read_domains
from pipeline.pci import Address
from pipeline.plan import resolve
from pipeline.render.domain import domain_xml
from pipeline.scenario import load
from pipeline.scenario.loader import SHIPPED
from pipeline.setup.domain import Domain, GuestAddress
from pipeline.setup.from_guest import domain_of
from tests.domains import TOKENS, changed, domain, mutated, xml

SCENARIOS = sorted(SHIPPED.glob("*.yaml"))
NOWHERE = Place(file="")

HEADER = """<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST. Changes to this xml configuration should be made using:
  virsh edit win10
or other application using the libvirt API.
-->

"""


def without_places(value):
    """The same with every place the same; a place that is None stays None."""
    if isinstance(value, Place):
        return NOWHERE
    if isinstance(value, tuple):
        return tuple(without_places(one) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        changes = {field.name: without_places(getattr(value, field.name)) for field in fields(value)}
        return replace(value, **changes)
    return value


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_what_a_scenario_renders_to_is_what_it_says(path):
    loaded = load(path)
    plan = resolve(loaded)
    (one,) = read_domains(domain_xml(plan), shown="x.xml")
    said = domain_of(plan, loaded)
    # Nothing in the XML of a Linux guest says which system it is, unless its name does.
    assert one.os == said.os or (said.os == "linux" and one.os is None)
    assert without_places(replace(one, os=said.os)) == without_places(said)


def inner(text):
    return domain(f"<domain type='kvm'>{text}</domain>")


BASE = "<name>x</name><memory>1048576</memory><os><type>hvm</type></os>"


def base(text="", os="<type>hvm</type>"):
    return inner(f"<name>x</name><memory>1048576</memory><os>{os}</os>{text}")


def test_the_header_of_etc_libvirt_and_wrappers():
    text = xml("rx560")
    (plain,) = read_domains(text.encode(), shown="x.xml")
    (headed,) = read_domains((HEADER + text).encode(), shown="x.xml")
    (status,) = read_domains(f"<domstatus state='running'><vcpus/>{text}</domstatus>".encode(), shown="x")
    assert without_places(headed) == without_places(plain) == without_places(status)
    assert headed.place.line == plain.place.line + HEADER.count("\n")
    both = f"<domainsnapshot><domain type='kvm'>{BASE}</domain><inactiveDomain>{BASE}</inactiveDomain></domainsnapshot>"
    assert [one.name for one in read_domains(both.encode(), shown="x")] == ["x"]


def test_what_is_left_out_is_as_libvirt_takes_it():
    one = base()
    assert one.machine.value == "pc"
    assert (one.memory.value, one.threads.value) == (1 << 30, 1)
    assert (one.firmware.automatic, one.firmware.loader, one.firmware.secure_boot) == (False, None, None)
    assert (one.cpu.mode, one.cpu.topology, one.os, one.tpm) == ("", None, None, False)
    assert (one.disks, one.videos, one.host_devices, one.pins, one.arguments) == ((), (), (), (), ())
    assert (one.hugepages, one.irqchip, one.hidden.kvm, one.hidden.vendor_id) == (None, None, None, None)


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        ("<memory unit='GiB'>8</memory>", 8 << 30),
        ("<memory unit='GB'>8</memory>", 8 * 10**9),
        ("<memory unit='b'>4096</memory>", 4096),
        ("<memory dumpCore='off'>\n 1024 </memory>", 1 << 20),
        ("<cpu><numa><cell memory='1' unit='GiB'/><cell memory='1024'/></numa></cpu>", (1 << 30) + (1 << 20)),
    ],
)
def test_memory(memory, size):
    assert inner(f"<name>x</name>{memory}<os><type>hvm</type></os>").memory.value == size


def test_firmware():
    chosen = base(
        os="<type machine='q35'>hvm</type><firmware><feature enabled='no' name='secure-boot'/>"
        "<feature enabled='yes' name='enrolled-keys'/></firmware>"
    ).firmware
    assert (chosen.automatic, chosen.secure_boot, chosen.enrolled_keys) == (False, False, True)
    efi = domain(changed("rx560", ("<os>", "<os firmware='efi'>"), ("<loader.*</nvram>", ""))).firmware
    assert (efi.automatic, efi.loader, efi.template, efi.nvram) == (True, None, None, None)
    named = base(
        os="<type>hvm</type><loader secure='yes' type='pflash'>/c.fd</loader>"
        "<nvram type='file' template='/v.fd'><source file='/n.fd'/></nvram>"
    ).firmware
    assert named.loader and named.template and named.nvram
    values = (named.secure_boot, named.loader.value, named.template.value, named.nvram.value)
    assert values == (True, "/c.fd", "/v.fd", "/n.fd")


def osinfo(name):
    return (
        "<metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>"
        f"<libosinfo:os id='{name}'/></libosinfo:libosinfo></metadata>"
    )


HYPERV = "<features><hyperv><relaxed state='on'/></hyperv></features>"


@pytest.mark.parametrize(
    ("name", "text", "system"),
    [
        ("x", osinfo("http://microsoft.com/win/10"), "windows10"),
        ("debian", osinfo("http://microsoft.com/win/11"), "windows11"),
        ("x", osinfo("http://microsoft.com/win/2k22"), "windows"),
        ("x", osinfo("http://archlinux.org/archlinux/rolling"), "linux"),
        ("win10", osinfo("http://apple.com/macosx/11.0"), None),
        ("x", HYPERV, "windows"),
        ("gaming-win-11", HYPERV, "windows11"),
        ("debian", HYPERV, "windows"),
        ("Windows10", "", "windows10"),
        ("archlinux", "", "linux"),
        ("darwin", "", None),
        ("search", "", None),
        ("x", HYPERV.replace("'on'", "'off'"), None),
    ],
)
def test_operating_system(name, text, system):
    assert inner(BASE.replace("<name>x", f"<name>{name}") + text).os == system


HOSTDEV = (
    "<devices><hostdev mode='subsystem' type='pci'{managed}><source><address {source}/></source>{more}</hostdev>"
    "</devices>"
)


def hostdev(source="bus='1'", managed="", more=""):
    (one,) = base(HOSTDEV.format(source=source, managed=managed, more=more)).host_devices
    return one


def test_host_devices():
    bare = hostdev()
    assert (bare.source, bare.managed, bare.address, bare.rom_bar) == (Address(0, 1, 0, 0), False, None, None)
    whole = hostdev(
        "domain='0x0001' bus='0x0a' slot='0x1f' function='0x7'",
        " managed='yes'",
        "<boot order='1'/><rom bar='on' file='/x.rom'/>"
        "<address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x0' multifunction='on'/>",
    )
    assert (whole.source, whole.managed, whole.boot) == (Address(1, 10, 31, 7), True, 1)
    assert (whole.rom_bar, whole.rom_file) == (True, "/x.rom")
    assert whole.address == GuestAddress(bus=6, slot=0, function=0, multifunction=True)
    assert hostdev(more="<rom enabled='no'/>").rom_bar is False


def test_an_interface_can_be_a_host_device_and_others_are_none():
    devices = (
        "<devices><interface type='hostdev' managed='yes'><source><address type='pci' bus='0x03'/></source></interface>"
        "<interface type='network'><source network='default'/><boot order='3'/></interface>"
        "<hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>"
        "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='u'/></source></hostdev>"
        "</devices>"
    )
    one = base(devices)
    assert [device.source for device in one.host_devices] == [Address(0, 3, 0, 0)]
    assert [boot.value for boot in one.network_boots] == [3]


DISKS = (
    "<devices><disk type='file' device='cdrom'><source file='/i.iso'/><target dev='sda' bus='sata'/></disk>"
    "<disk type='block'><source dev='/dev/sda'/><target dev='vda'/>{boot}</disk>"
    "<disk device='floppy'><target dev='fda'/></disk>{more}</devices>"
)


def boots(os="", boot="", more=""):
    return [disk.boot for disk in base(DISKS.format(boot=boot, more=more), f"<type>hvm</type>{os}").disks]


def test_disks_and_their_order():
    one = base(DISKS.format(boot="<boot order='2'/>", more=""))
    assert [(disk.device, disk.bus, disk.path) for disk in one.disks] == [
        ("cdrom", "sata", "/i.iso"),
        ("disk", "virtio", "/dev/sda"),
        ("floppy", "fdc", ""),
    ]
    assert boots(boot="<boot order='2'/>") == [None, 2, None]
    assert boots(os="<boot dev='cdrom'/><boot dev='hd'/>") == [1, 2, None]
    assert boots(os="<boot dev='network'/><boot dev='hd'/>") == [None, 2, None]
    assert boots(os="<boot dev='cdrom'/><boot dev='hd'/>", boot="<boot order='1'/>") == [None, 1, None]
    second = "<disk><source file='/b'/><target dev='vdb'/></disk>"
    assert boots(os="<boot dev='cdrom'/><boot dev='hd'/>", more=second) == [1, None, None, None]


def test_videos():
    def models(devices):
        return [video.value for video in base(f"<devices>{devices}</devices>").videos]

    assert models("<video><model type='none'/></video>") == ["none"]
    assert models("<video><model type='qxl'/></video><video/>") == ["qxl", "default"]
    assert models("<graphics type='spice'/>") == ["default"]
    assert models("") == []


def test_tuning():
    one = base(
        "<vcpu cpuset='4-5' current='2'>4</vcpu><memoryBacking><hugepages/></memoryBacking>"
        "<cputune><vcpupin vcpu='1' cpuset='7'/><emulatorpin cpuset='0-3,^2'/></cputune>"
        "<features><kvm><hidden state='on'/></kvm><hyperv><vendor_id state='on' value='x'/></hyperv>"
        "<ioapic driver='kvm'/></features><cpu mode='host-passthrough' migratable='off'>"
        "<topology sockets='1' dies='2' cores='3' threads='2'/></cpu>"
    )
    assert [(pin.vcpu, pin.cpus) for pin in one.pins] == [(0, {4, 5}), (1, {7}), (None, {0, 1, 3})]
    assert one.threads.value == 2
    assert one.hugepages and one.hidden.kvm and one.hidden.vendor_id
    assert one.irqchip and one.irqchip.value == "kvm"
    assert (one.cpu.mode, one.cpu.topology, one.cpu.migratable) == ("host-passthrough", (2, 3, 2), False)


def test_arguments_of_qemu():
    text = (
        f"<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>{BASE}<qemu:commandline>"
        "<qemu:arg value='-machine'/><qemu:arg value='kernel_irqchip=on'/></qemu:commandline></domain>"
    )
    one = domain(text)
    assert [argument.value for argument in one.arguments] == ["-machine", "kernel_irqchip=on"]
    assert one.arguments[1].place.column == text.index("kernel_irqchip") + 1
    assert one.kind == "qemu"


def test_a_tpm_of_version_1_2_is_not_what_windows_11_wants():
    def tpm(backend):
        return base(f"<devices><tpm>{backend}</tpm></devices>").tpm

    assert tpm("<backend type='emulator' version='2.0'/>") is True
    assert tpm("<backend type='emulator' version='1.2'/>") is False
    assert tpm("<backend type='passthrough'/>") is True


REFUSED = [
    ("<network><name>x</name></network>", "<network> is no libvirt domain", (1, 1)),
    ("<domstatus/>", "<domstatus> is no libvirt domain", (1, 1)),
    ("<domain><name>x</name></domain>", "a domain of type '' is no guest of QEMU", (1, 1)),
    ("<domain type='lxc'/>", "a domain of type 'lxc' is no guest of QEMU", (1, 15)),
    ("<domain type='kvm'/>", "the domain has no name", (1, 1)),
    ("<domain type='kvm'><name>x</name></domain>", "the domain has no <os><type>", (1, 1)),
    (
        "<domain type='kvm'>\n<name>x</name><os><type/></os></domain>",
        "the domain has no <memory>",
        (1, 1),
    ),
    (
        f"<domain type='kvm'>\n{BASE.replace('1048576', 'lots')}</domain>",
        "'lots' is not a number",
        (2, 23),
    ),
    (
        "<domain type='kvm'>\n" + BASE.replace("<memory>", "<memory unit='XB'>") + "</domain>",
        "'XB' is not a unit of memory",
        (2, 29),
    ),
    (f"<domain type='kvm'>{BASE}\n<vcpu>0</vcpu></domain>", "0 is no number of processors", (2, 7)),
    (
        f"<domain type='kvm'>{BASE}\n<cputune><vcpupin vcpu='0' cpuset='a'/></cputune></domain>",
        "'a' is not a set of processors",
        (2, 36),
    ),
    (
        f"<domain type='kvm'>{BASE}\n<devices><hostdev type='pci'/></devices></domain>",
        "the hostdev does not say which function of the host it is",
        (2, 10),
    ),
    (
        f"<domain type='kvm'>{BASE}\n<devices><hostdev type='pci'><source><address bus='0x100'/></source></hostdev>"
        "</devices></domain>",
        "bus='0x100' is out of range",
        (2, 52),
    ),
]


@pytest.mark.parametrize(("text", "message", "at"), REFUSED, ids=[message for _, message, _ in REFUSED])
def test_refused_with_the_place_and_a_hint(text, message, at):
    with pytest.raises(BadInput) as error:
        read_domains(text.encode(), shown="x.xml")
    place = error.value.place
    assert (error.value.message, place.file, place.line, place.column) == (message, "x.xml", *at)
    assert error.value.hint


def answers(data: bytes) -> tuple[Domain, ...] | None:
    """What is read, None for BadInput; in less than a second of the processor and without much memory."""
    start, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        return read_domains(data, shown="x.xml")
    except BadInput as error:
        assert str(error)
        return None
    finally:
        assert time.process_time() - start < 1
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 256 << 10


BOMB = b"<!DOCTYPE d [<!ENTITY a 'ha'>" + b"".join(
    f"<!ENTITY {new} '{f'&{old};' * 10}'>".encode() for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


HEAD = f"<domain type='kvm'>{BASE}".encode()


@pytest.mark.parametrize(
    "data",
    [
        BOMB + b"]><domain type='kvm'><name>&i;</name></domain>",
        BOMB + b"]><domain type='kvm' name='&i;'/>",
        b"<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain type='kvm'/>",
        b"<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain type='kvm'><name>&a;</name></domain>",
        b"<a>" * (1 << 20),
        b"<a>" * (1 << 20) + b"</a>" * 1,
        b"<a/>" * (1 << 20),
        b"<!--" * (1 << 20),
        b"<![CDATA[" * (1 << 18),
        b"<?x " * (1 << 20),
        b"<" * (4 << 20),
        b"<a " * (1 << 20),
        b"<a b='" * (1 << 19),
        b"<a" + b" b" * (1 << 20),
        b"<a " + b" ".join(b"x%d=''" % number for number in range(300_000)) + b"/>",
        b"\xff\xfe" + "<domain type='kvm'/>".encode("utf-16-le"),
        b"<domain type='kvm'>" + b"x" * (4 << 20),
        b"\n" * (4 << 20),
        b"<domain type='kvm'><name>" + b"\n" * (3 << 20) + b"</name>",
        b"<domain type='kvm'><name>" + b" " * (3 << 20) + b"x</name></domain>",
        HEAD
        + b"<cputune>"
        + b"".join(b"<vcpupin vcpu='%d' cpuset='%d-16383'/>" % (one, one % 99) for one in range(9999))
        + b"</cputune></domain>",
    ],
    ids=range(21),
)
def test_hostile(data):
    assert answers(data) is None


def test_large_but_harmless():
    one = b"<hostdev mode='subsystem' type='pci'><source><address bus='1'/></source></hostdev>"
    data = HEAD + b"<devices>" + b" " * (3 << 20) + one * 1200 + b"</devices></domain>"
    (read,) = answers(data) or ()
    assert len(read.host_devices) == 1200


@settings(max_examples=150)
@given(st.lists(TOKENS | st.binary(max_size=3), max_size=30).map(b"".join))
@example(b"")
def test_arbitrary_bytes(data):
    answers(data)


@settings(max_examples=200)
@given(mutated())
def test_mutated_domains(data):
    for one in answers(data) or ():
        assert one.name
        assert one.memory.value >= 0
        assert one.threads.value >= 1
        assert one.place.line and one.place.column
