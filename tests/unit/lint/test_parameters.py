"""Parameters that are missing, mistyped or for another: each rule firing, and silent beside it."""

from dataclasses import replace

import pytest

from pipeline.lint import bootloader, parameters
from pipeline.lint.rule import Rule
from pipeline.setup import Setup
from tests.unit.lint.setups import brief, edits, host, initramfs, line, of

INTEL = of("intel-geforce")


@pytest.mark.parametrize(
    ("setup", "found"),
    [
        (
            line(INTEL, "amd_iommu=on", "intel_iommu=on"),
            "amd_iommu=on is for processors by AMD, this host has one by Intel",
        ),
        (line(of(), "intel_iommu=on"), "intel_iommu=on is for processors by Intel, this host has one by AMD"),
    ],
)
def test_the_other_maker_s_iommu(setup: Setup, found: str) -> None:
    assert brief(parameters.other_makers_iommu, setup) == [("note", found)]
    assert edits(parameters.other_makers_iommu, setup) == [("remove", found.partition(" ")[0], "")]
    assert brief(bootloader.value_unknown, setup) == []


@pytest.mark.parametrize(
    "setup",
    [
        line(of(), "amd_iommu=on"),
        line(of(), "intel_iommu=off"),
        line(INTEL, "intel_iommu=on"),
        host(line(of(), "intel_iommu=on"), cpu_vendor=None),
    ],
)
def test_the_own_iommu(setup: Setup) -> None:
    assert brief(parameters.other_makers_iommu, setup) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("intel_iomu=on", "intel_iommu=on"),
        ("amd_iommmu=on", "amd_iommu=on"),
        ("rd-driver-pre=vfio-pci", "rd.driver.pre=vfio-pci"),
        ("vfio.ids=1002:67ef", "vfio-pci.ids=1002:67ef"),
        ("vfio-pci.id=1002:67ef", "vfio-pci.ids=1002:67ef"),
        ("pci_acs_override=downstream", "pcie_acs_override=downstream"),
        ("modprob.blacklist=nouveau", "modprobe.blacklist=nouveau"),
        ("initcall_blacklst=sysfb_init", "initcall_blacklist=sysfb_init"),
    ],
)
def test_mistyped(written: str, meant: str) -> None:
    setup = line(of(), written)
    assert brief(parameters.mistyped, setup) == [("warning", f"no one reads {written.partition('=')[0]}")]
    assert edits(parameters.mistyped, setup) == [("replace", written, meant)]


# Of kernel Documentation/admin-guide/kernel-parameters.txt and of dracut.cmdline(7): near to what is looked for.
OTHERS = [
    "amd_iommu_dump", "amd_iommu_intr", "amd_pstate", "amdgpu.dc", "arm-smmu.disable_bypass", "cgroup_disable",
    "default_hugepagesz", "disable_acs_redir", "hugepages", "hugepagesz", "hugetlb_cma", "initcall_debug",
    "initramfs_async", "intel_idle.max_cstate", "intel_iommu", "intel-iommu", "intel_pstate", "intremap", "iommu",
    "iommu.forcedac", "iommu.passthrough", "iommu.strict", "isolcpus", "kvm.ignore_msrs", "kvm.report_ignored_msrs",
    "kvm-intel.nested", "module_blacklist", "module.sig_enforce", "modprobe.blacklist", "modules-load", "nohz",
    "nohz_full", "nvidia-drm.modeset", "pci", "pcie_acs_override", "pcie_aspm", "pcie_port_pm", "pcie_ports",
    "rcu_nocb_poll", "rcu_nocbs", "rcupdate.rcu_normal", "rd.driver.blacklist", "rd.driver.post", "rd.driver.pre",
    "rd.luks.uuid", "rd.modules_load", "resume", "root", "rootflags", "systemd.unit", "transparent_hugepage",
    "udev.log_priority", "vfio_iommu_type1.allow_unsafe_interrupts", "vfio_iommu_type1.disable_hugepages",
    "vfio_pci.ids", "vfio-pci.disable_denylist", "vfio-pci.disable_idle_d3", "vfio-pci.enable_sriov",
    "vfio-pci.nointxmask", "video", "xe.force_probe", "i915.force_probe", "pci-stub.ids", "xen-pciback.hide",
]  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_words_are_left_alone(name: str) -> None:
    assert brief(parameters.mistyped, line(of(), f"{name}=1")) == []


def test_a_word_without_a_value_is_left_alone() -> None:
    assert brief(parameters.mistyped, line(of(), "intel_iomu")) == []


def test_dracut_s_parameter_with_mkinitcpio() -> None:
    setup = line(of(), "rd.driver.pre=vfio-pci")
    assert brief(parameters.read_by_another, setup) == [
        ("note", "rd.driver.pre=vfio-pci is for dracut, and mkinitcpio makes this host's initramfs")
    ]
    assert edits(parameters.read_by_another, setup) == [("remove", "rd.driver.pre=vfio-pci", "")]
    for silent in (
        line(of("fedora-dracut"), "rd.driver.pre=vfio-pci"),
        line(of(), "rd.luks.uuid=1"),
        initramfs(setup, generator="booster"),
    ):
        assert brief(parameters.read_by_another, silent) == []


@pytest.mark.parametrize("rule", parameters.RULES, ids=lambda rule: str(rule.code))
def test_silent_where_nothing_is_known(rule: Rule) -> None:
    bare = host(of(), command_line=None, cpu_vendor=None, distribution=None, initramfs=None)
    assert brief(rule, replace(bare, board=None)) == []
