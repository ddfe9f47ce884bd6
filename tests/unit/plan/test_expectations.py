"""What has to hold, and which line is named when it does not."""

import pytest

from pipeline.plan import Plan, resolve
from pipeline.scenario import loads
from pipeline.scenario.loader import SHIPPED

TEXT = (SHIPPED / "rx560.yaml").read_text(encoding="utf-8")


def plan(*changes: tuple[str, str]) -> Plan:
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return resolve(loads(text, file="s.yaml"))


def places(plan: Plan) -> dict[str, str]:
    return {one.id: str(one.place) for one in plan.expectations}


INITRAMFS = "    generator: mkinitcpio\n"
PASSTHROUGH = 'passthrough: ["01:00.0", "01:00.1"]\n'
NETWORK = "  network: {bridge: br0}\n"


def test_rx560() -> None:
    found = {one.id: (one.expected, str(one.place)) for one in plan().expectations}
    assert found == {
        "cmdline[quiet]": ("quiet", "s.yaml:16:23"),
        "cmdline[udev.log_priority=3]": ("udev.log_priority=3", "s.yaml:16:30"),
        "cmdline[iommu=pt]": ("iommu=pt", "s.yaml:16:51"),
        "initramfs[/etc/mkinitcpio.d/linux612.preset]": ("exit status 0", "s.yaml:17:3"),
        "boot-loader[/boot/grub/grub.cfg]": ("exit status 0", "s.yaml:15:15"),
        "boots[/boot/initramfs-6.12-x86_64.img]": ("reachable", "s.yaml:17:3"),
        "iommu[amd]": ("on", "s.yaml:67:15"),
        "present[01:00.0]": ("1002:67ef subsystem 148c:2385 rev e5", "s.yaml:67:15"),
        "present[01:00.1]": ("1002:aae0 subsystem 148c:aae0 rev 00", "s.yaml:67:26"),
        "group[01:00.0]": (("01:00.0", "01:00.1"), "s.yaml:67:15"),
        "group[02:00.0]": (("02:00.0",), "s.yaml:46:21"),
        "group[03:00.0]": (("03:00.0",), "s.yaml:50:21"),
        "group[04:00.0]": (("04:00.0",), "s.yaml:54:21"),
        "group[05:00.0]": (("05:00.0",), "s.yaml:58:20"),
        "group[06:00.0]": (("06:00.0",), "s.yaml:66:21"),
        "viable[01:00.0]": ("no function of the group held by a driver of the host", "s.yaml:67:15"),
        "binding[01:00.0]": ("vfio-pci", "s.yaml:67:15"),
        "first-driver[01:00.0]": ("vfio-pci", "s.yaml:67:15"),
        "vfio-node[01:00.0]": ("/dev/vfio/<group>", "s.yaml:67:15"),
        "binding[01:00.1]": ("vfio-pci", "s.yaml:67:26"),
        "first-driver[01:00.1]": ("vfio-pci", "s.yaml:67:26"),
        "vfio-node[01:00.1]": ("/dev/vfio/<group>", "s.yaml:67:26"),
        "stays[02:00.0]": ("not vfio-pci", "s.yaml:46:21"),
        "stays[03:00.0]": ("not vfio-pci", "s.yaml:50:21"),
        "stays[04:00.0]": ("not vfio-pci", "s.yaml:54:21"),
        "stays[05:00.0]": ("not vfio-pci", "s.yaml:58:20"),
        "stays[06:00.0]": ("not vfio-pci", "s.yaml:66:21"),
        "domain-defined[win10]": ("defined", "s.yaml:71:12"),
        "domain-started[win10]": ("running", "s.yaml:67:15"),
        "firmware[win10]": ("OVMF", "s.yaml:71:12"),
        "machine[win10]": ("pc-q35-9.2", "s.yaml:71:12"),
        "guest-function[01:00.0]": ("1002:67ef", "s.yaml:67:15"),
        "guest-port[01:00.0]": ("function 0 behind a root port", "s.yaml:67:15"),
        "guest-function[01:00.1]": ("1002:aae0", "s.yaml:67:26"),
        "guest-port[01:00.1]": ("function 1 behind a root port", "s.yaml:67:26"),
    }


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        (
            ("board:\n", '  vfio:\n    ids: ["148c:2385", "1002:aae0"]\nboard:\n'),
            {"binding[01:00.0]": "s.yaml:20:11", "first-driver[01:00.0]": "s.yaml:20:11"},
        ),
        (
            ("board:\n", '  vfio:\n    ids: ["1234:1111", "1002:aae0"]\nboard:\n'),
            {"binding[01:00.0]": "s.yaml:20:10", "binding[01:00.1]": "s.yaml:69:26"},
        ),
        ((PASSTHROUGH, 'passthrough: ["01:00.0"]\n'), {"viable[01:00.0]": "s.yaml:67:14"}),
        (
            (INITRAMFS, INITRAMFS + "    hooks: [base, udev, block, filesystems]\n"),
            {"binding[01:00.0]": "s.yaml:19:12", "binding[01:00.1]": "s.yaml:19:12"},
        ),
        (
            (INITRAMFS, INITRAMFS + "    modules: []\n"),
            {"binding[01:00.0]": "s.yaml:19:14", "vfio-node[01:00.1]": "s.yaml:19:14"},
        ),
        (
            (INITRAMFS, INITRAMFS + "    modules: [amdgpu, vfio_pci]\n"),
            {"first-driver[01:00.0]": "s.yaml:19:15", "first-driver[01:00.1]": "s.yaml:68:26"},
        ),
        (
            (NETWORK, NETWORK + '  host_devices: [{source: "01:00.0"}, {source: "01:00.2"}]\n'),
            {"domain-started[win10]": "s.yaml:81:48", "guest-function[01:00.1]": "s.yaml:81:48"},
        ),
        (
            (NETWORK, NETWORK + '  host_devices: [{source: "01:00.0"}, {source: "02:00.0"}]\n'),
            {"domain-started[win10]": "s.yaml:81:48", "guest-function[01:00.0]": "s.yaml:81:27"},
        ),
        (
            (NETWORK, NETWORK + '  host_devices: [{source: "01:00.0"}]\n'),
            {"guest-function[01:00.1]": "s.yaml:81:17", "domain-started[win10]": "s.yaml:81:27"},
        ),
        (
            (NETWORK, NETWORK + 'expect:\n  groups: [["01:00.0", "01:00.1", "02:00.0"]]\n'),
            {"group[01:00.0]": "s.yaml:82:12", "viable[01:00.0]": "s.yaml:67:14"},
        ),
        (
            (NETWORK, NETWORK + 'expect:\n  groups: [["01:00.0"]]\n'),
            {"group[01:00.0]": "s.yaml:82:12", "group[01:00.1]": "s.yaml:82:12"},
        ),
        (
            ("iommu=pt]", "amd_iommu=off]"),
            {"iommu[amd]": "s.yaml:16:51", "binding[01:00.0]": "s.yaml:16:51"},
        ),
    ],
)
def test_the_line_at_fault_is_named(change: tuple[str, str], failing: dict[str, str]) -> None:
    found = places(plan(change))
    assert {name: found[name] for name in failing} == failing


def test_stated_groups_replace_the_predicted_ones() -> None:
    stated = NETWORK + 'expect:\n  groups: [["01:00.0", "01:00.1", "02:00.0"], ["00:01.1"]]\n'
    found = {
        one.subject: one.expected
        for one in plan((NETWORK, stated)).expectations
        if one.id.startswith("group[")
    }
    assert found == {
        "01:00.0": ("01:00.0", "01:00.1", "02:00.0"),
        "00:01.1": ("00:01.1",),
        "03:00.0": ("03:00.0",),
        "04:00.0": ("04:00.0",),
        "05:00.0": ("05:00.0",),
        "06:00.0": ("06:00.0",),
    }


@pytest.mark.parametrize(
    "change",
    [
        ("iommu=pt]", "iommu=pt, iommu=pt]"),
        (NETWORK, NETWORK + 'expect:\n  groups: [["01:00.0"], ["02:00.0", "03:00.0"]]\n'),
        ('id: "144d:a808"', 'id: "1002:67ef"'),
    ],
)
def test_every_expectation_has_a_name_of_its_own(change: tuple[str, str]) -> None:
    names = [one.id for one in plan(change).expectations]
    assert len(names) == len(set(names))


def test_a_twin_that_stays_points_at_the_id_that_takes_it() -> None:
    ids = INITRAMFS + '  vfio: {ids: ["1002:67ef", "1002:aae0"]}\n'
    found = places(plan(('id: "144d:a808"', 'id: "1002:67ef"'), (INITRAMFS, ids)))
    assert found["stays[02:00.0]"] == "s.yaml:19:16"


def test_a_twin_of_a_card_that_is_taken_by_address_points_at_itself() -> None:
    found = places(plan(('id: "144d:a808"', 'id: "1002:67ef"')))
    assert found["stays[02:00.0]"] == "s.yaml:46:21"
