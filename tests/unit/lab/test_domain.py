from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from pipeline.errors import BadInput
from pipeline.lab.domain import MEMORY, Medium, assigned_buses, for_lab, media, root_ports
from pipeline.lab.emulator import Emulator
from pipeline.plan import resolve
from pipeline.render import Inputs, render
from pipeline.render.bundle import domain_path
from pipeline.scenario import read

SHIPPED = ["rx560", "rx560-2019"]


def rendered(name: str, *settings: str) -> bytes:
    plan = resolve(read(name, settings=settings))
    return render(plan, inputs=Inputs(scenario=b"", settings=settings)).files[domain_path(plan)]


RX560 = rendered("rx560")


def elements(xml: bytes) -> list[tuple[str, str, dict[str, str], str, str]]:
    tree = etree.ElementTree(etree.fromstring(xml))
    return [
        (
            tree.getpath(one),
            str(one.tag),
            dict(one.attrib),
            (one.text or "").strip(),
            (one.tail or "").strip(),
        )
        for one in tree.iter()
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_but_memory_and_accelerator_changes(name: str) -> None:
    before = rendered(name)
    after = for_lab(before, accelerator="tcg").xml
    changed = [pair for pair in zip(elements(before), elements(after), strict=True) if pair[0] != pair[1]]
    assert [(old[0], old[2], old[3], new[2], new[3]) for old, new in changed] == [
        ("/domain", {"type": "kvm"}, "", {"type": "qemu"}, ""),
        ("/domain/memory", {"unit": "KiB"}, "8388608", {"unit": "KiB"}, str(MEMORY >> 10)),
    ]


def test_each_replacement_is_listed() -> None:
    assert for_lab(RX560, accelerator="tcg").replacements == (
        "<memory> 8388608 KiB replaced by 262144 KiB: the lab's memory is small",
        "<domain type='kvm'> replaced by type='qemu': no usable KVM for L2",
    )


def test_kvm_is_kept_where_the_guest_can_use_it() -> None:
    found = for_lab(RX560, accelerator="kvm")
    assert etree.fromstring(found.xml).get("type") == "kvm"
    assert len(found.replacements) == 1


def test_the_current_memory_is_replaced_with_the_memory() -> None:
    xml = b"<domain type='qemu'><memory unit='GiB'>8</memory><currentMemory>4194304</currentMemory></domain>"
    found = for_lab(xml, accelerator="tcg")
    assert etree.fromstring(found.xml).findtext("currentMemory") == str(MEMORY >> 10)
    assert [text.partition(" replaced")[0] for text in found.replacements] == [
        "<memory> 8 GiB",
        "<currentMemory> 4194304 KiB",
    ]


@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
def test_a_domain_of_the_lab_stays_as_it_is_and_lists_nothing(accelerator: str) -> None:
    once = for_lab(RX560, accelerator=accelerator)
    twice = for_lab(once.xml, accelerator=accelerator)
    assert twice.xml == once.xml
    assert twice.replacements == ()


def test_what_boots_first_comes_first() -> None:
    images = "/var/lib/libvirt/images"
    assert media(RX560) == (
        Medium(path=f"{images}/efi-boot.iso", format="raw", cdrom=True, boot=1),
        Medium(path=f"{images}/win10.qcow2", format="qcow2", cdrom=False, boot=2),
        Medium(path=f"{images}/windows10.iso", format="raw", cdrom=True, boot=3),
    )


def test_disks_without_a_place_in_the_boot_order_come_last() -> None:
    xml = rendered("rx560", "guest.disk.boot=null", "guest.media.1.boot=null")
    assert [(one.path.rpartition("/")[2], one.boot) for one in media(xml)] == [
        ("efi-boot.iso", 1),
        ("win10.qcow2", 0),
        ("windows10.iso", 0),
    ]


def test_disks_without_a_file_are_no_media() -> None:
    xml = b"""<domain><devices><disk device='cdrom'/><disk><source dev='/dev/sda'/></disk>
    <disk><source file='/a'/></disk></devices></domain>"""
    assert media(xml) == (Medium(path="/a", format="raw", cdrom=False, boot=0),)


@given(st.permutations([0, 1, 2, 3]))
def test_the_boot_order_does_not_depend_on_the_order_of_the_disks(orders: list[int]) -> None:
    disks = "".join(
        f"<disk><source file='/{order}'/>{f'<boot order={chr(39)}{order}{chr(39)}/>' if order else ''}</disk>"
        for order in orders
    )
    found = media(f"<domain><devices>{disks}</devices></domain>".encode())
    assert [one.path for one in found] == ["/1", "/2", "/3", "/0"]


def test_the_root_ports_on_bus_0() -> None:
    assert root_ports(RX560) == ((1, 0), (1, 1), (1, 2), (1, 3), (1, 4))


def test_ports_on_other_buses_or_without_an_address_are_left_out() -> None:
    port = "<controller model='pcie-root-port'>{}</controller>"
    inside = port.format("") + port.format("<address bus='0x02' slot='0x03' function='0x0'/>")
    inside += port.format("<address bus='0x00' slot='0x1a' function='0x7'/>")
    assert root_ports(f"<domain><devices>{inside}</devices></domain>".encode()) == ((0x1A, 7),)


def test_entities_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("tell")
    xml = f"<!DOCTYPE d [<!ENTITY e SYSTEM 'file://{secret}'>]><domain type='kvm'><name>&e;</name></domain>"
    assert b"tell" not in for_lab(xml.encode(), accelerator="tcg").xml


def test_the_buses_with_hostdevs_are_numbered_as_firmware_does() -> None:
    assert assigned_buses(RX560) == (1,)


def test_a_hostdev_behind_the_second_port_in_the_order_of_addresses() -> None:
    """The controller with the lower index may have the higher address."""
    ports = "".join(
        f"<controller type='pci' index='{index}' model='pcie-root-port'>"
        f"<address type='pci' bus='0x00' slot='{slot:#x}' function='0x0'/></controller>"
        for index, slot in ((1, 9), (2, 3))
    )
    card = "<hostdev><source><address bus='0x07'/></source><address type='pci' bus='0x01'/></hostdev>"
    assert assigned_buses(f"<domain><devices>{ports}{card}</devices></domain>".encode()) == (2,)
    assert assigned_buses(f"<domain><devices>{ports}</devices></domain>".encode()) == ()


EMULATOR = Emulator(
    version="11.1",
    disk=Path("/cache/tree.ext4"),
    code="/opt/qemu/CODE.fd",
    variables="/opt/qemu/VARS.fd",
    script="",
)


def test_a_release_under_test_brings_its_emulator_and_its_firmware_and_changes_nothing_else() -> None:
    plain, tested = for_lab(RX560, accelerator="kvm"), for_lab(RX560, accelerator="kvm", emulator=EMULATOR)
    before, after = elements(plain.xml), elements(tested.xml)
    assert len(before) == len(after)
    changed = {new[0]: new[2:4] for old, new in zip(before, after, strict=True) if old != new}
    nvram = etree.fromstring(RX560).find("os/nvram")
    assert nvram is not None
    assert changed == {
        "/domain/os/loader": ({"readonly": "yes", "type": "pflash"}, "/opt/qemu/CODE.fd"),
        "/domain/os/nvram": ({"template": "/opt/qemu/VARS.fd"}, nvram.text),
        "/domain/devices/emulator": ({}, "/opt/qemu-system-x86_64"),
    }
    assert len(tested.replacements) == len(plain.replacements) + 3


@pytest.mark.parametrize("gone", ["devices/emulator", "os/loader"])
def test_a_domain_that_leaves_them_to_libvirt_cannot_be_put_under_test(gone: str) -> None:
    root = etree.fromstring(RX560)
    element = root.find(gone)
    assert element is not None
    element.getparent().remove(element)
    with pytest.raises(BadInput, match=gone.rpartition("/")[2]):
        for_lab(etree.tostring(root), accelerator="tcg", emulator=EMULATOR)


@pytest.mark.parametrize(
    ("accelerator", "under_test", "left"), [("tcg", True, 0), ("kvm", True, 1), ("tcg", False, 1)]
)
def test_hyperv_is_left_out_where_a_release_under_test_may_refuse_it(
    accelerator: str, under_test: bool, left: int
) -> None:
    """QEMU 7.2 without KVM does: "kernel doesn't allow setting HyperV VP_INDEX" is no fault of the domain's."""
    found = for_lab(RX560, accelerator=accelerator, emulator=EMULATOR if under_test else None)
    root = etree.fromstring(found.xml)
    assert len(root.findall("features/hyperv")) == left
    assert len(root.findall("clock/timer[@name='hypervclock']")) == left
    assert sum("<hyperv> left out" in line for line in found.replacements) == 1 - left
