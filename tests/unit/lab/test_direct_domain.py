from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from pipeline.lab.direct_domain import DirectDomain, for_direct
from pipeline.pci import Address
from pipeline.plan import resolve
from pipeline.render.domain import domain_xml
from pipeline.scenario import read

CARD, SOUND = Address(0, 1, 0, 0), Address(0, 1, 0, 1)
SOCKETS = {CARD: "fn-01-00-0.sock", SOUND: "fn-01-00-1.sock"}
XML = domain_xml(resolve(read("rx560")))


def made(xml: bytes = XML, **changed: Any) -> DirectDomain:
    options: dict[str, Any] = {
        "machine": "pc-q35-5.2",
        "firmware": "OVMF 1 of QEMU 2",
        "sockets": SOCKETS,
        "left_out": (),
        "accelerator": "tcg",
    }
    return for_direct(xml, **{**options, **changed})


def root(domain: DirectDomain) -> etree._Element:
    return etree.fromstring(domain.xml)


def with_devices(text: str) -> bytes:
    return XML.replace(b"<memballoon", text.encode() + b"<memballoon")


def test_functions_stand_at_their_places_as_emulated_ones() -> None:
    found = made()
    assert root(found).find("devices/hostdev") is None
    assert [device for device in found.devices if device["driver"] == "vfio-user-pci"] == [
        {
            "driver": "vfio-user-pci",
            "id": "fn-01-00-0",
            "socket": {"type": "unix", "path": "fn-01-00-0.sock"},
            "bus": "pci.1",
            "multifunction": True,
            "addr": "0x0",
        },
        {
            "driver": "vfio-user-pci",
            "id": "fn-01-00-1",
            "socket": {"type": "unix", "path": "fn-01-00-1.sock"},
            "bus": "pci.1",
            "addr": "0x0.0x1",
        },
    ]
    assert [(one.source, one.bus, one.slot, one.function, one.port) for one in found.places] == [
        (CARD, 1, 0, 0, 0),
        (SOUND, 1, 0, 1, 0),
    ]
    assert root(found).find("memoryBacking/access[@mode='shared']") is not None


def test_rom_bar_and_boot_order_of_a_function_stay() -> None:
    xml = XML.replace(
        b"</source>\n      <address type", b'</source><rom bar="off"/><boot order="9"/><address type', 1
    )
    (first, _) = [device for device in made(xml).devices if device["driver"] == "vfio-user-pci"]
    assert (first["rombar"], first["bootindex"]) == (0, 9)


def test_a_qemu_without_them_leaves_the_functions_out_and_says_so() -> None:
    found = made(left_out=("vfio-user-pci",))
    assert [device["driver"] for device in found.devices] == ["e1000e"]
    assert len(found.places) == 2
    assert "<hostdev> 01:00.0 left out: this QEMU has no vfio-user-pci" in found.replacements
    assert root(found).find("memoryBacking") is None


def test_a_function_that_the_lab_has_not_is_left_out() -> None:
    found = made(sockets={CARD: SOCKETS[CARD]})
    assert [device["id"] for device in found.devices] == ["net0", "fn-01-00-0"]
    assert "<hostdev> 01:00.1 left out: the lab emulates no such function" in found.replacements


def test_only_what_boots_first_has_the_payload() -> None:
    found = made()
    assert [(one.name, one.cdrom, one.payload) for one in found.media] == [
        ("medium0", False, False),
        ("medium1", True, True),
        ("medium2", True, False),
    ]
    disks = root(found).findall("devices/disk")
    assert [disk.find("source").get("file") for disk in disks] == ["medium0", "medium1", "medium2"]
    assert {disk.find("driver").get("type") for disk in disks} == {"raw"}
    assert [disk.find("boot").get("order") for disk in disks] == ["2", "1", "3"]


def test_a_drive_without_a_medium_stays_so() -> None:
    empty = with_devices('<disk type="file" device="cdrom"><target dev="sdd" bus="sata"/></disk>')
    assert len(made(empty).media) == 3
    assert len(root(made(empty)).findall("devices/disk")) == 4


def test_a_disk_of_another_kind_becomes_a_file() -> None:
    block = with_devices(
        '<disk type="block" device="disk"><driver name="qemu" type="raw"/><source dev="/dev/sdz"/>'
        '<target dev="vdz" bus="virtio"/></disk>'
    )
    found = made(block)
    assert "<disk> /dev/sdz (raw) replaced by an empty one" in found.replacements
    assert b"/dev/sdz" not in found.xml


def test_the_network_card_stays_and_leads_nowhere() -> None:
    found = made()
    assert root(found).find("devices/interface") is None
    (card,) = [device for device in found.devices if device["driver"] == "e1000e"]
    assert (card["bus"], card["addr"], card["netdev"]) == ("pci.3", "0x0", "hostnet0")
    assert str(card["mac"]).startswith("52:54:00:")
    assert found.backends == ("hubport,id=hostnet0,hubid=0",)


@pytest.mark.parametrize(("model", "driver"), [("virtio", "virtio-net-pci"), ("igb", "igb")])
def test_models_of_cards_have_qemus_names(model: str, driver: str) -> None:
    found = made(XML.replace(b'<model type="e1000e"/>', f'<model type="{model}"/>'.encode()))
    assert found.devices[0]["driver"] == driver


def test_machine_and_firmware_are_the_releases() -> None:
    found = made()
    os = root(found).find("os")
    assert os is not None
    assert os.find("type").get("machine") == "pc-q35-5.2"
    assert (os.findtext("loader"), os.findtext("nvram")) == ("code.fd", "variables.fd")
    assert os.find("nvram").get("template") is None
    assert "machine type pc-q35-9.2 replaced by pc-q35-5.2" in found.replacements
    assert any(line.endswith("replaced by OVMF 1 of QEMU 2") for line in found.replacements)


def test_the_own_machine_type_is_no_replacement() -> None:
    assert not any("machine type" in line for line in made(machine="pc-q35-9.2").replacements)


def test_vcpus_topology_and_clock_stay() -> None:
    before, after = etree.fromstring(XML), root(made())
    for path in ("vcpu", "cpu", "features/vmport", "devices/controller"):
        assert [etree.tostring(one, method="c14n2", strip_text=True) for one in after.findall(path)] == [
            etree.tostring(one, method="c14n2", strip_text=True) for one in before.findall(path)
        ]


def test_hyper_v_needs_kvm() -> None:
    assert root(made()).find("features/hyperv") is None
    assert root(made()).find("clock/timer[@name='hypervclock']") is None
    assert any(line.startswith("<hyperv> left out") for line in made().replacements)
    assert root(made(accelerator="kvm")).find("features/hyperv/vpindex") is not None
    assert root(made(accelerator="kvm")).get("type") == "kvm"


def test_host_passthrough_needs_kvm() -> None:
    xml = XML.replace(b'mode="host-model" check="partial"', b'mode="host-passthrough" migratable="off"')
    assert root(made(xml)).find("cpu").get("mode") == "maximum"
    assert any("host-passthrough" in line for line in made(xml).replacements)
    assert root(made(xml, accelerator="kvm")).find("cpu").get("mode") == "host-passthrough"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('<tpm model="tpm-crb"><backend type="emulator"/></tpm>', "<tpm> tpm-crb left out: "),
        ('<graphics type="spice" port="5900"/>', "<graphics> spice left out: "),
        ('<hostdev mode="subsystem" type="usb"><source/></hostdev>', "<hostdev type='usb'> left out"),
        ('<serial type="pty"><target port="1"/></serial>', "a further <serial> left out"),
    ],
)
def test_what_leads_out_of_the_guest_is_left_out_by_name(text: str, says: str) -> None:
    found = made(with_devices(text))
    assert any(line.startswith(says) for line in found.replacements)
    assert len(made().replacements) + 1 == len(found.replacements)


def test_placing_on_the_owners_machine_is_left_out() -> None:
    extra = (
        b'<cputune><vcpupin vcpu="0" cpuset="2"/></cputune><memoryBacking><hugepages/></memoryBacking><os>'
    )
    found = made(XML.replace(b"<os>", extra), left_out=("vfio-user-pci",))
    assert root(found).find("cputune") is None
    assert root(found).find("memoryBacking") is None
    assert (
        sum(
            "left out: it" in line and ("cputune" in line or "Backing" in line) for line in found.replacements
        )
        == 2
    )


def test_a_function_behind_no_root_port_has_none() -> None:
    xml = XML.replace(
        b'<address type="pci" domain="0x0000" bus="0x01" slot="0x00" function="0x0" multifunction="on"/>',
        b'<address type="pci" domain="0x0000" bus="0x00" slot="0x10" function="0x0"/>',
    )
    found = made(xml)
    assert (found.places[0].bus, found.places[0].slot, found.places[0].port) == (0, 16, None)
    assert found.devices[1]["bus"] == "pcie.0"
    assert found.devices[1]["addr"] == "0x10"
