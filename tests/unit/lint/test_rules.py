"""Every rule seen firing and seen silent."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.lint import (
    Finding,
    Severity,
    bootloader,
    grouping,
    guest,
    ids,
    initramfs,
    kernel,
    lint,
    machine,
    modules,
)
from pipeline.plan import resolve
from pipeline.scenario import read
from pipeline.setup.from_plan import from_plan


def everything(name: str, *settings: str) -> tuple[Finding, ...]:
    loaded = read(name, settings=settings)
    return lint(from_plan(resolve(loaded), loaded))


def found(name: str, *settings: str) -> tuple[Finding, ...]:
    """All but the note that every host of today has."""
    return tuple(one for one in everything(name, *settings) if one.code != "DB303")


def test_hosts_of_today_have_no_fallback_image() -> None:
    (one,) = [one for one in everything("rx560") if one.code == "DB303"]
    assert (one.severity, one.place.line) == (Severity.NOTE, 10)
    assert "Without passthrough" in one.fix
    assert not [one for one in everything("rx560-2019") if one.code == "DB303"]


def brief(findings: tuple[Finding, ...]) -> list[tuple[str, str, str]]:
    return [(one.code, one.severity.value, one.found) for one in findings]


INTEL = "host.cpu.vendor=intel"
MODULES = "host.initramfs.modules"
SOFTDEPS = "host.vfio.softdeps=false"
GROUPS = "expect.groups"
DEVICES = "guest.host_devices"


def test_a_softdep_holds_back_a_driver_that_comes_first() -> None:
    (one,) = found("rx560", f"{MODULES}=[amdgpu, vfio_pci]")
    assert (one.code, one.severity) == ("DB203", Severity.NOTE)
    assert one.found == "amdgpu comes before vfio_pci in MODULES; a softdep keeps it from 01:00.0"
    assert "the softdep of amdgpu loads vfio-pci before it" in one.why


FIRING = [
    (
        ["host.vfio.ids=['148c:2385', '1002:aae0']"],
        [("DB101", "error", "148c:2385 is the subsystem id of 01:00.0; vfio-pci needs 1002:67ef")],
    ),
    (
        ["host.kernel_parameters=[vfio-pci.ids=148c:2385]"],
        [
            ("DB101", "error", "148c:2385 is the subsystem id of 01:00.0; vfio-pci needs 1002:67ef"),
            (
                "DB107",
                "error",
                "1002:67ef, 1002:aae0 does not count: --set host.kernel_parameters gives ids= once more",
            ),
        ],
    ),
    (
        ["host.vfio.ids=['1002:67ef', '1002:aae0', '10de:1b80']"],
        [("DB102", "warning", "no function of the board has the id 10de:1b80")],
    ),
    (
        ["host.vfio.ids=['1002:67ef', '1002:aae0', '1022:15e0']"],
        [("DB103", "error", "1022:15e0 is also the id of 06:00.0, which the host keeps")],
    ),
    (
        ["host.vfio.ids=['1002:67ef', '1002:aae0']", "board.root_ports.4.functions.0.id='1002:67ef'"],
        [("DB103", "error", "1002:67ef is also the id of 05:00.0, which the host keeps")],
    ),
    (
        ["host.vfio.ids=['1002:67ef', '1002:aae0', '1022:15d3']", "board.root_ports.0.id='1022:15d3'"],
        [("DB117", "note", "1022:15d3 is the id of the bridge 00:01.1")],
    ),
    (
        ["host.vfio.ids=['1002:67ef']"],
        [("DB104", "error", "1002:aae0 of 01:00.1 is missing from the ids of vfio-pci")],
    ),
    (
        [f"{MODULES}=[vfio_pci, vfio_virqfd]"],
        [("DB201", "error", "kernel 6.12 has no module vfio_virqfd: its code is part of vfio.ko since 6.2")],
    ),
    (
        [f"{MODULES}=[vfio_pci, 'vfio-virqfd?']"],
        [("DB201", "note", "kernel 6.12 has no module vfio_virqfd: its code is part of vfio.ko since 6.2")],
    ),
    ([f"{MODULES}=[]"], [("DB202", "error", "vfio_pci is not in MODULES")]),
    (
        [f"{MODULES}=[amdgpu, vfio_pci]", SOFTDEPS],
        [
            ("DB203", "error", "amdgpu comes before vfio_pci in MODULES and takes 01:00.0"),
            ("DB213", "note", "no softdep loads vfio-pci before amdgpu, which kms puts into the image"),
        ],
    ),
    (
        [f"{MODULES}=[snd-hda-intel, vfio-pci]", SOFTDEPS],
        [
            ("DB203", "error", "snd-hda-intel comes before vfio_pci in MODULES and takes 01:00.1"),
            ("DB213", "note", "no softdep loads vfio-pci before amdgpu, which kms puts into the image"),
        ],
    ),
    (
        ["passthrough=['06:00.0']"],
        [
            (
                "DB204",
                "warning",
                "xhci_pci is built into manjaro's kernel 6.12 and takes 06:00.0 before vfio-pci is loaded",
            )
        ],
    ),
    (["host.initramfs.hooks=[base, udev, block]"], [("DB301", "error", "modconf is not in HOOKS")]),
    (
        ["host.initramfs.hooks=[base]", "host.kernel_parameters=['vfio-pci.ids=1002:67ef,1002:aae0']"],
        [("DB301", "warning", "modconf is not in HOOKS")],
    ),
    (
        ["host.initramfs.hooks=[base, modconf, kmss]"],
        [("DB302", "warning", "kmss is no hook of mkinitcpio that is known here")],
    ),
    (
        ["host.kernel_parameters=[amd_iommu=on]"],
        [("DB401", "note", "amd_iommu=on: on is not an option of amd_iommu")],
    ),
    (
        ["host.kernel_parameters=[iommu=passthrough]"],
        [("DB401", "note", "iommu=passthrough: passthrough is not an option of iommu")],
    ),
    (
        ["host.kernel_parameters=[amd_iommu=off]"],
        [("DB402", "error", "amd_iommu=off turns the IOMMU off")],
    ),
    (["host.kernel_parameters=[iommu=off]"], [("DB402", "error", "iommu=off turns the IOMMU off")]),
    (
        [INTEL, "host.kernel_parameters=[intel_iommu=off]"],
        [("DB402", "error", "intel_iommu=off turns the IOMMU off")],
    ),
    (
        [INTEL, "host.kernel_parameters=[intel_iommu=igfx_off]"],
        [("DB403", "warning", "intel_iommu=igfx_off does not turn the IOMMU on")],
    ),
    (
        ["passthrough=['01:00.0']"],
        [("DB501", "error", "01:00.1 is in the slot of 01:00.0, but is not passed through")],
    ),
    (
        ["passthrough=['01:00.0']", "board.root_ports.0.functions.1.drivers=[]"],
        [("DB501", "warning", "01:00.1 is in the slot of 01:00.0, but is not passed through")],
    ),
    (
        [f"{GROUPS}=[['01:00.0', '01:00.1', '02:00.0']]"],
        [
            ("DB502", "error", "02:00.0 is in the group of 01:00.0, but is not passed through"),
            ("DB503", "warning", "the group 01:00.0, 01:00.1, 02:00.0 is not one of this board"),
        ],
    ),
    (
        [f"{GROUPS}=[['01:00.0']]"],
        [("DB503", "warning", "the group 01:00.0 is not one of this board")],
    ),
    (
        [f"{GROUPS}=[['07:00.0']]"],
        [("DB503", "warning", "the group 07:00.0 is not one of this board")],
    ),
    (
        [
            "board.root_ports.0.acs=false",
            "board.root_ports.0.address='00:01.0'",
            "board.root_ports.1.acs=false",
        ],
        [("DB504", "error", "02:00.0 shares the group of 01:00.0, but is not passed through")],
    ),
    (["guest.machine=pc-q35-9.7"], [("DB601", "error", "no QEMU has a machine type pc-q35-9.7")]),
    (["guest.machine=q35-9.2"], [("DB601", "error", "no QEMU has a machine type q35-9.2")]),
    (["guest.machine=pc-q35-3.1"], [("DB602", "error", "QEMU 11.1 no longer has pc-q35-3.1")]),
    (["host.qemu=7.2"], [("DB603", "error", "QEMU 7.2 does not have pc-q35-9.2 yet")]),
    (["guest.machine=pc-q35-8.0"], [("DB604", "warning", "QEMU 11.1 calls pc-q35-8.0 deprecated")]),
    (
        ["guest.machine=pc-q35-3.1", "host.qemu=10.0"],
        [("DB605", "warning", "QEMU 11.1 no longer has pc-q35-3.1")],
    ),
    (["guest.machine=q35"], [("DB606", "warning", "q35 is not pinned to a version")]),
    (["guest.machine=pc-i440fx-9.2"], [("DB607", "error", "pc-i440fx-9.2 has no PCI Express")]),
    (["host.kernel=5.4"], [("DB701", "warning", "kernel 5.4 has had no fixes since 2025-12-03")]),
    (["guest.memory=16 GiB"], [("DB801", "error", "the guest has 16 GiB, the host 16 GiB")]),
    (["guest.cpu.cores=5"], [("DB802", "warning", "the guest has 10 threads, the host 8")]),
    (
        [f"{DEVICES}=[{{source: '01:00.0'}}, {{source: '01:00.1'}}, {{source: '02:00.0'}}]"],
        [("DB803", "error", "02:00.0 is in the domain, but is not passed through")],
    ),
    (
        [f"{DEVICES}=[{{source: '01:00.0'}}, {{source: '01:00.2'}}]"],
        [
            ("DB803", "error", "01:00.2 is in the domain, but there is no such function"),
            ("DB804", "warning", "01:00.1 is passed through, but is not in guest.host_devices"),
        ],
    ),
]

SILENT = [
    [],
    ["host.vfio.ids=['1002:67EF', '1002:aae0']"],
    ["host.vfio.ids=['1002:67ef']", "host.kernel_parameters=['vfio_pci.ids=1002:67ef,1002:aae0']"],
    [f"{MODULES}=[vfio, vfio-pci, vfio_iommu_type1, amdgpu]"],
    [f"{MODULES}=[vfio_pci, vfio_virqfd]", "host.kernel=6.1"],
    ["host.initramfs.extra_modules=[amdgpu, btrfs]"],
    ["passthrough=['06:00.0']", "host.kernel=6.1"],
    ["passthrough=['01:00.0', '01:00.1', '02:00.0']"],
    ["host.initramfs.hooks=[base, systemd, modconf, sd-encrypt]"],
    ["host.kernel_parameters=[iommu=pt, amd_iommu=force_isolation, intel_iommu=off]"],
    ["host.kernel_parameters=[amd_iommu=fullflush]"],
    [INTEL],
    [INTEL, "host.kernel_parameters=['intel_iommu=on,igfx_off']"],
    [f"{GROUPS}=[['01:00.1', '01:00.0'], ['00:01.1'], ['02:00.0']]"],
    ["guest.machine=pc-q35-8.2"],
    ["guest.machine=pc-q35-10.0", "host.qemu=10.0"],
    ["guest.memory=12 GiB", "guest.cpu.cores=4"],
    [f"{DEVICES}=[{{source: '01:00.0'}}, {{source: '01:00.1'}}]"],
]


@pytest.mark.parametrize(("settings", "expected"), FIRING, ids=lambda value: str(value)[:60])
def test_firing(settings: list[str], expected: list[tuple[str, str, str]]) -> None:
    findings = found("rx560", *settings)
    assert brief(findings) == expected
    for finding in findings:
        assert finding.why
        assert finding.fix
        assert finding.source
        assert finding.place.file.startswith(("--set ", "scenarios/rx560.yaml"))


@pytest.mark.parametrize("settings", SILENT, ids=lambda value: str(value)[:60])
def test_silent(settings: list[str]) -> None:
    assert brief(found("rx560", *settings)) == []


def test_every_rule_is_seen_firing() -> None:
    codes = {code for _, expected in FIRING for code, _, _ in expected}
    here = (bootloader, grouping, guest, ids, initramfs, kernel, machine, modules)
    assert {rule.code for module in here for rule in module.RULES} <= codes | {"DB303"}


def test_the_article_to_the_letter() -> None:
    findings = found("rx560-2019")
    assert [str(one) for one in findings] == [
        "scenarios/rx560-2019.yaml:13:11: warning DB701: kernel 4.19 has had no fixes since 2024-12-05",
        "scenarios/rx560-2019.yaml:71:12: warning DB605: QEMU 11.1 no longer has pc-q35-3.1",
        "scenarios/rx560-2019.yaml:16:60: note DB401: amd_iommu=on: on is not an option of amd_iommu",
    ]
    assert findings[1].fix == (
        "keep it with QEMU 4.1; with QEMU 11.1 write pc-q35-8.2, the nearest that it has"
    )
    assert "pc-q35-3.1: it was chosen in 2019" in findings[1].why
    assert "AMD-Vi: Unknown option - 'on'" in findings[2].why


def test_the_machine_of_2019_with_the_qemu_of_today_names_the_cure() -> None:
    (finding,) = found("rx560", "guest.machine=pc-q35-3.1")
    assert finding.severity is Severity.ERROR
    assert finding.fix == "write pc-q35-8.2, the nearest that QEMU 11.1 has"
    assert "pc-q35-3.1: it was chosen in 2019" in finding.why
    assert str(finding.place) == "--set guest.machine"


def test_a_type_that_both_qemus_have_is_proposed() -> None:
    (finding,) = found("rx560", "guest.machine=pc-q35-4.2", "host.qemu=10.0")
    assert finding.fix == "write pc-q35-8.2, which QEMU 10.0 and QEMU 11.1 have"


def test_identical_cards_need_more_than_ids() -> None:
    twin = "board.root_ports.4.functions.0.id='1002:67ef'"
    (finding,) = found("rx560", twin, "host.vfio.ids=['1002:67ef', '1002:aae0']")
    assert "driver_override of 01:00.0" in finding.fix
    assert "01:00.0 and 05:00.0 look the same" in finding.why
    assert found("rx560", twin) == ()


def test_the_worst_comes_first_then_the_order_of_the_scenario() -> None:
    findings = found("rx560-2019", "guest.memory=99 GiB", "host.initramfs.hooks=[base, nosuch]")
    ranks = [(one.severity.rank, one.place.file, one.place.line) for one in findings]
    assert len(findings) == 6
    assert all(earlier <= later for earlier, later in pairwise(ranks))


def test_the_shipped_bad_group_is_named_with_what_joins_it_and_the_ways_out() -> None:
    (finding,) = found("bad-group")
    assert (finding.code, finding.severity) == ("DB504", Severity.ERROR)
    assert finding.found == "02:00.0 shares the group of 01:00.0, but is not passed through"
    assert finding.why == (
        "the root port 00:01.0 above 01:00.0 has no ACS; "
        "00:01.1 and 00:01.0 are functions of one slot, and no ACS keeps them apart; "
        "the root port 00:01.1 above 02:00.0 has no ACS; "
        "while nvme of the host holds 02:00.0, VFIO says that the group is not viable and the guest does not start"
    )
    assert "pcie_acs_override=downstream,multifunction, which only claims isolation" in finding.fix
    assert str(finding.place) == "scenarios/bad-group.yaml:66:15"


SOUND = "{address: '%s', class: '0401', id: '13f6:8788', drivers: [snd_virtuoso]}"


def test_behind_one_pcie_to_pci_bridge_nothing_but_another_slot_helps() -> None:
    both = ", ".join(SOUND % address for address in ("07:01.0", "07:02.0"))
    bridge = "{address: '06:00.0', bridge: pcie-to-pci, functions: [" + both + "]}"
    findings = found("rx560", f"board.root_ports.5.functions=[{bridge}]", "passthrough=['07:01.0']")
    (finding,) = [one for one in findings if one.code == "DB504"]
    assert finding.why.startswith(
        "07:01.0 is behind the PCIe-to-PCI bridge 06:00.0, whose address its DMA bears; 07:02.0 is behind"
    )
    assert "pcie_acs_override" not in finding.fix


def test_a_chipset_s_upstream_port_beside_other_functions_is_named() -> None:
    port = "{address: '07:00.0', bridge: downstream-port, functions: [" + SOUND % "08:00.0" + "]}"
    upstream = "{address: '06:00.2', bridge: upstream-port, functions: [" + port + "]}"
    switch = "{address: '06:00.0', class: '0c0330', id: '1022:43d0'}, " + upstream
    findings = found("rx560", f"board.root_ports.5.functions=[{switch}]", "passthrough=['08:00.0']")
    (finding,) = [one for one in findings if one.code == "DB504"]
    assert "the upstream port 06:00.2 above 07:00.0 is one of several functions of its slot" in finding.why


def test_a_bridge_to_the_host_in_the_group_does_no_harm() -> None:
    head = "board.integrated=[{address: '00:01.0', class: '0600', id: '1022:1452', conventional: true}]"
    assert brief(found("rx560", head, "board.root_ports.0.acs=false")) == []


QEMUS = st.sampled_from(["0.0", "1.0", "4.0", "4.1", "7.2", "10.0", "11.1", "12.0", "999.999"])
MACHINES = st.sampled_from(
    ["q35", "pc-q35", "i440fx", "pc-i440fx-2.9", "pc-q35-2.4", "pc-q35-4.0.1", "pc-q35-99.99", "q35-3.1"]
)
SETTINGS = st.lists(st.sampled_from([one for settings, _ in FIRING for one in settings]), max_size=5)


@hypothesis_settings(max_examples=40)
@given(SETTINGS, QEMUS, MACHINES)
def test_rules_take_every_scenario(settings: list[str], qemu: str, machine: str) -> None:
    try:
        findings = found("rx560", f"host.qemu={qemu}", f"guest.machine={machine}", *settings)
    except BadInput:
        return
    for finding in findings:
        assert finding.fix
        assert "None" not in str(finding) + finding.why + finding.fix


OTHERS = [
    ("fedora", "dracut", "force_drivers"),
    ("debian", "initramfs-tools", "/etc/initramfs-tools/modules and scripts/init-top/00-vfio beside it"),
]


def of(distribution: str, *settings: str) -> tuple[Finding, ...]:
    base = (f"host.distribution={distribution}", "host.bootloader=null", "host.initramfs={}")
    return everything("rx560", *base, *settings)


@pytest.mark.parametrize(("distribution", "generator", "modules"), OTHERS)
def test_rules_of_the_initramfs_speak_of_the_host_s_own_generator(
    distribution: str, generator: str, modules: str
) -> None:
    (note,) = of(distribution)
    assert (note.code, note.severity) == ("DB303", Severity.NOTE)
    assert note.why.startswith(f"{generator} makes one image for each kernel")
    rivals = of(distribution, f"{MODULES}=[amdgpu, vfio_pci, vfio_virqfd]", SOFTDEPS)
    assert {one.code: one.severity for one in rivals} == {
        "DB201": Severity.NOTE,
        "DB203": Severity.ERROR,
        "DB303": Severity.NOTE,
    }
    found = {one.code: one for one in (*rivals, *of(distribution, f"{MODULES}=[vfio]"))}
    assert found["DB202"].found == f"vfio_pci is not in {modules}"
    assert found["DB203"].found == f"amdgpu comes before vfio_pci in {modules} and takes 01:00.0"
    assert found["DB201"].why == f"{generator} passes over it without a word and exits with status 0"
    for one in found.values():
        assert "mkinitcpio" not in f"{one.found} {one.why} {one.fix} {one.source}"
        assert "HOOKS" not in f"{one.found} {one.why} {one.fix}"


def test_the_way_back_of_a_unified_kernel_image_is_an_image() -> None:
    (note,) = of("arch", "host.bootloader=uki", "host.root=LABEL=root")
    assert "the image without passthrough" in note.fix


def test_vt_d_is_on_with_debian_s_kernels() -> None:
    written = (INTEL, "host.kernel_parameters=[intel_iommu=sm_on]")
    assert "DB403" in {one.code for one in of("fedora", *written)}
    assert "DB403" not in {one.code for one in of("debian", *written)}
