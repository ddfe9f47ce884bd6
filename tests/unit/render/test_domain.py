from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from pipeline.errors import BadInput
from pipeline.pci import Address
from pipeline.plan.model import PlannedHostDevice
from pipeline.render.domain import domain_xml, identity, mac_address
from pipeline.render.validate import Status, validate

# What XML 1.0 can hold; a parser turns none of these into another.
held = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), min_size=1)
VARIANTS = {
    "as it is": (),
    "linux": ("guest.os=linux", "guest.disk.bus=virtio", "guest.network.model=virtio"),
    "windows11": ("guest.os=windows11",),
    "host-passthrough": ("guest.cpu.mode=host-passthrough",),
    "no network, no media": ("guest.network=", "guest.media=[]"),
    "no ROM": ("guest.host_devices=[{source: '01:00.0', rom_bar: false}]",),
    "two cards": ("passthrough=['01:00.0', '01:00.1', '06:00.0']",),
    "2019": ("host.year=2019", "host.kernel='4.19'", "guest.machine=pc-q35-3.1"),
}


def parsed(plan):
    return etree.fromstring(domain_xml(plan))


def pci_addresses(root):
    wanted = ("bus", "slot", "function")
    return [
        tuple(int(address.get(part), 16) for part in wanted)
        for address in root.iterfind("devices/*/address[@type='pci']")
    ]


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_variants_hold_before_schema_and_libvirt(planned, settings):
    for validation in validate(domain_xml(planned(*settings))):
        assert validation.status is not Status.FAILED, validation


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_every_device_has_a_port_of_its_own(planned, settings):
    root = parsed(planned(*settings))
    addresses = pci_addresses(root)
    assert len(addresses) == len(set(addresses))
    ports = {int(port.get("index")) for port in root.iterfind("devices/controller[@model='pcie-root-port']")}
    used = {bus for bus, _, _ in addresses} - {0}
    assert used <= ports
    assert len(ports - used) == 2
    chassis = [target.get("chassis") for target in root.iterfind("devices/controller/target")]
    assert len(chassis) == len(set(chassis))


def test_many_cards_spread_the_ports_over_slots(plan):
    place = plan.guest.machine.place
    devices = tuple(
        PlannedHostDevice(
            source=Address(0, slot + 1, 0, 0),
            slot=slot,
            function=0,
            multifunction=False,
            rom_bar=True,
            place=place,
        )
        for slot in range(16)
    )
    root = parsed(replace(plan, guest=replace(plan.guest, host_devices=devices)))
    addresses = pci_addresses(root)
    assert len(addresses) == len(set(addresses))
    ports = root.findall("devices/controller[@model='pcie-root-port']/address")
    first = [port for port in ports if port.get("function") == "0x0"]
    assert [port.get("slot") for port in first] == ["0x01", "0x02", "0x03"]
    assert all(port.get("multifunction") == "on" for port in first)


def test_functions_of_a_card_stay_in_one_slot(plan):
    root = parsed(plan)
    devices = root.findall("devices/hostdev")
    assert [device.get("managed") for device in devices] == ["yes", "yes"]
    assert [dict(device.find("source/address").attrib) for device in devices] == [
        {"domain": "0x0000", "bus": "0x01", "slot": "0x00", "function": f"0x{function}"}
        for function in (0, 1)
    ]
    guest = [device.find("address") for device in devices]
    assert [(a.get("bus"), a.get("slot"), a.get("function"), a.get("multifunction")) for a in guest] == [
        ("0x01", "0x00", "0x0", "on"),
        ("0x01", "0x00", "0x1", None),
    ]


def test_the_firmware_is_named_and_the_machine_pinned(plan):
    root = parsed(plan)
    assert root.find("os").get("firmware") is None
    assert root.findtext("os/loader") == plan.guest.loader
    assert root.find("os/nvram").get("template") == plan.guest.nvram_template
    assert root.find("os/type").get("machine") == "pc-q35-9.2"


def test_only_windows_gets_hyperv_and_local_time(plan, planned):
    windows, linux = parsed(plan), parsed(planned("guest.os=linux"))
    assert windows.find("features/hyperv") is not None
    assert windows.find("clock").get("offset") == "localtime"
    assert linux.find("features/hyperv") is None
    assert linux.find("clock").get("offset") == "utc"


@pytest.mark.parametrize(
    ("settings", "features"),
    [
        (("guest.cpu.mode=host-passthrough",), ["topoext"]),
        (("guest.cpu.mode=host-passthrough", "guest.cpu.threads_per_core=1"), []),
        (("guest.cpu.mode=host-passthrough", "host.cpu.vendor=intel"), []),
        ((), []),
    ],
)
def test_topoext_where_qemu_leaves_it_out(planned, settings, features):
    root = parsed(planned(*settings))
    assert [feature.get("name") for feature in root.iterfind("cpu/feature")] == features


def test_boot_order_is_per_device(plan):
    root = parsed(plan)
    assert root.find("os/boot") is None
    orders = {
        disk.find("source").get("file"): disk.find("boot").get("order")
        for disk in root.iterfind("devices/disk")
    }
    assert orders == {disk.path: str(disk.boot) for disk in plan.guest.disks}


def test_there_is_no_screen_and_the_serial_line_is_logged(plan):
    root = parsed(plan)
    assert root.find("devices/video/model").get("type") == "none"
    assert root.find("devices/graphics") is None
    assert root.find("devices/serial/log").get("file") == "/var/log/libvirt/qemu/win10-serial.log"


def test_a_memory_that_is_no_whole_kib_is_rounded_up(plan):
    root = parsed(replace(plan, guest=replace(plan.guest, memory=1025)))
    assert root.findtext("memory") == "2"


def test_identities_follow_scenario_and_guest(plan):
    assert identity(plan) == identity(plan)
    assert identity(replace(plan, name="other")) != identity(plan)
    other = replace(plan, guest=replace(plan.guest, name="other"))
    assert mac_address(other) != mac_address(plan)
    assert int(mac_address(plan).split(":")[0], 16) & 0b11 == 0b10


@given(name=held, path=held, bridge=held)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_text_comes_back_from_a_parser(plan, name, path, bridge):
    disk = replace(plan.guest.disks[0], path=path)
    guest = replace(plan.guest, name=name, disks=(disk,), bridge=bridge, loader=path)
    document = domain_xml(replace(plan, guest=guest))
    assert b"<!" not in document
    root = etree.fromstring(document)
    assert root.findtext("name") == name
    assert root.findtext("os/loader") == path
    assert root.find("devices/disk/source").get("file") == path
    assert root.find("devices/interface/source").get("bridge") == bridge
    assert len(root.findall("devices/*")) == len(parsed(plan).findall("devices/*")) - 2


@pytest.mark.parametrize("name", ["a\0b", "a\x1bb", "\ud800", "\ufffe"])
def test_what_xml_cannot_hold_is_refused(plan, name):
    with pytest.raises(BadInput, match="XML"):
        domain_xml(replace(plan, guest=replace(plan.guest, name=name)))
