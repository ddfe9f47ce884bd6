"""What comes first: each rule firing, and silent beside it."""

from dataclasses import replace

import pytest

from pipeline.lint import load_order, modules
from pipeline.lint.rule import Rule
from pipeline.setup import Setup
from tests.unit.lint.setups import (
    brief,
    complete,
    edits,
    host,
    initramfs,
    kernel,
    line,
    modprobe,
    of,
    softdep,
    words,
    written,
)

CONF = "etc/mkinitcpio.conf"
GEFORCE = of("intel-geforce")
DRACUT = of("fedora-dracut")
DEBIAN = of("debian-geforce")


def loading(*names: str, setup: Setup | None = None) -> Setup:
    return initramfs(setup or of(), modules=words(*names, file=CONF))


def test_nvidia_drm_brings_nvidia() -> None:
    setup = loading("btrfs", "nvidia-drm", "vfio_pci", setup=GEFORCE)
    assert brief(load_order.driver_brought_first, setup) == [
        ("error", "nvidia-drm comes before vfio_pci and brings nvidia")
    ]
    assert edits(load_order.driver_brought_first, setup) == [
        ("remove", "nvidia-drm", ""),
        ("add after", "vfio_pci", "nvidia-drm"),
    ]


@pytest.mark.parametrize(
    "setup",
    [
        loading("vfio_pci", "nvidia_drm", setup=GEFORCE),
        loading("nvidia_drm", setup=GEFORCE),
        loading("nvidia_drm", "vfio_pci"),
        host(loading("nvidia_drm", "vfio_pci", setup=GEFORCE), until_guest_starts=True),
    ],
)
def test_nvidia_drm_elsewhere(setup: Setup) -> None:
    assert brief(load_order.driver_brought_first, setup) == []


def test_loaded_after_boot() -> None:
    late = words("vfio", "vfio-pci", file="etc/modules-load.d/vfio.conf")
    setup = initramfs(of(), modules=(), after_boot=late)
    assert brief(load_order.loaded_after_boot, setup) == [
        ("note", "vfio-pci is loaded only when the initramfs has been left")
    ]
    assert brief(load_order.loaded_after_boot, initramfs(of(), after_boot=late)) == []
    assert brief(load_order.loaded_after_boot, initramfs(of(), modules=(), after_boot=words("kvmgt"))) == []


# Everything after boot, and blacklists that keep the functions free until then: Proxmox's guide.
WAITING = initramfs(of(), modules=(), after_boot=words("vfio_pci", file="etc/modules"))


def test_blacklists_keep_the_functions_free_until_vfio_pci_is_there() -> None:
    free = modprobe(WAITING, blacklists=words("amdgpu", "snd-hda-intel"))
    assert brief(modules.vfio_missing, free) == brief(load_order.loaded_after_boot, free) == []
    sound = modprobe(WAITING, blacklists=words("amdgpu"))
    assert [severity for severity, _ in brief(modules.vfio_missing, sound)] == ["warning"]
    assert len(brief(load_order.loaded_after_boot, sound)) == 1
    for contested in (
        modprobe(WAITING, blacklists=words("snd_hda_intel")),
        initramfs(free, after_boot=words("vfio")),
    ):
        assert [severity for severity, _ in brief(modules.vfio_missing, contested)] == ["error"]


@pytest.mark.parametrize("name", ["vfio-pic", "vfio_iommu_type_1", "vfio_pcie", "vfio_irqfd"])
def test_a_module_that_no_kernel_has(name: str) -> None:
    (finding,) = complete(load_order.module_mistyped, loading("vfio_pci", name))
    assert (finding.severity.value, finding.found) == ("warning", f"there is no module {name}")
    assert finding.edits[0].new in finding.fix


@pytest.mark.parametrize(
    "name", ["vfio", "vfio-pci", "vfio_pci_core", "virtio_pci", "vfio_virqfd?", "nvme", "mlx5-vfio-pci"]
)
def test_modules_that_there_are(name: str) -> None:
    assert brief(load_order.module_mistyped, loading(name)) == []


UBUNTU = host(kernel(line(of(), "quiet"), "5.4"), distribution="ubuntu")


def test_vfio_pci_in_the_kernel_reads_no_modprobe_d() -> None:
    assert brief(load_order.vfio_built_in, UBUNTU) == [
        ("error", "the ids 1002:67ef,1002:aae0 are in modprobe.d, but vfio-pci is built into this kernel")
    ]
    assert edits(load_order.vfio_built_in, UBUNTU) == [
        ("add after", "quiet", "vfio-pci.ids=1002:67ef,1002:aae0")
    ]
    script = modprobe(
        UBUNTU, vfio_ids=(), installs=(written("vfio-pci", text="install vfio-pci /usr/bin/take"),)
    )
    assert brief(load_order.vfio_built_in, script) == [
        ("error", "a command shall load vfio-pci, but vfio-pci is built into this kernel")
    ]


@pytest.mark.parametrize(
    "setup",
    [
        line(UBUNTU, "vfio-pci.ids=1002:67ef,1002:aae0"),
        kernel(UBUNTU, "5.3"),
        kernel(UBUNTU, "6.8"),
        host(UBUNTU, distribution="debian"),
        modprobe(UBUNTU, vfio_ids=()),
    ],
)
def test_vfio_pci_as_a_module_or_with_its_ids_on_the_line(setup: Setup) -> None:
    assert brief(load_order.vfio_built_in, setup) == []


def test_a_driver_in_the_kernel_need_not_be_in_the_image() -> None:
    assert brief(modules.vfio_missing, initramfs(UBUNTU, modules=())) == []
    assert len(brief(modules.vfio_missing, kernel(initramfs(UBUNTU, modules=()), "6.8"))) == 1


def coming_late(setup: Setup, *names: str) -> Setup:
    """With modules that are in the image, but not loaded first, and without softdeps."""
    there = initramfs(setup, modules=(), late=words(*(names or ("vfio", "vfio-pci")), file="etc/vfio.conf"))
    return modprobe(there, softdeps=())


def ordered(setup: Setup, *drivers: str) -> Setup:
    return modprobe(setup, softdeps=tuple(softdep(name, ["vfio-pci"]) for name in drivers))


ADDED = coming_late(DRACUT)
LISTED = coming_late(DEBIAN)


def test_added_is_not_forced() -> None:
    assert brief(load_order.only_on_demand, ADDED) == [
        ("warning", "vfio-pci is in add_drivers, which does not load it before amdgpu")
    ]
    assert brief(load_order.after_udev, ADDED) == brief(modules.vfio_missing, ADDED) == []
    assert len(brief(modules.vfio_missing, coming_late(DRACUT, "vfio"))) == 1


@pytest.mark.parametrize(
    "setup",
    [
        ordered(ADDED, "amdgpu", "snd_hda_intel"),
        modprobe(ADDED, blacklists=words("amdgpu", "snd_hda_intel")),
        initramfs(ADDED, late=words("nvme")),
        initramfs(ADDED, modules=words("vfio_pci")),
        host(ADDED, until_guest_starts=True),
        DRACUT,
    ],
)
def test_forced_or_ordered(setup: Setup) -> None:
    assert brief(load_order.only_on_demand, setup) == []


def test_initramfs_tools_loads_its_list_after_udev() -> None:
    assert brief(load_order.after_udev, LISTED) == [
        ("warning", "nothing loads vfio-pci before nouveau, which wants 01:00.0")
    ]
    assert brief(load_order.only_on_demand, LISTED) == brief(modules.vfio_missing, LISTED) == []
    half = ordered(LISTED, "nouveau", "snd_hda_intel", "i2c_nvidia_gpu")
    assert brief(load_order.after_udev, half) == [
        ("warning", "nothing loads vfio-pci before xhci_pci, which wants 01:00.2")
    ]


@pytest.mark.parametrize(
    "setup",
    [
        ordered(LISTED, "nvidia*", "snd_hda_intel", "xhci-pci", "i2c_nvidia_gpu"),
        initramfs(LISTED, generator="mkinitcpio"),
        initramfs(LISTED, modules=words("vfio_pci")),
        initramfs(LISTED, late=()),
        DEBIAN,
    ],
)
def test_initramfs_tools_with_something_that_comes_before(setup: Setup) -> None:
    assert brief(load_order.after_udev, setup) == []


def test_systemd_and_kms_without_a_softdep() -> None:
    setup = modprobe(of(), softdeps=())
    assert brief(load_order.not_ordered, setup) == [
        ("note", "no softdep loads vfio-pci before amdgpu, which kms puts into the image")
    ]
    assert brief(load_order.not_ordered, of()) == []
    for hooks in (("base", "udev", "kms"), ("base", "systemd")):
        assert brief(load_order.not_ordered, initramfs(setup, hooks=words(*hooks))) == []


def test_omit_drivers_does_nothing_to_what_another_list_names() -> None:
    omitted = words("nouveau", "vfio-pci")
    setup = initramfs(DRACUT, omitted=omitted, modules=words("vfio_pci"))
    assert brief(load_order.omitted_in_vain, setup) == [
        ("note", "vfio-pci is in omit_drivers, and asked for by another list")
    ]
    assert edits(load_order.omitted_in_vain, setup) == [("remove", "vfio-pci", "")]
    # Where nothing else names it, it is missing: DB202.
    assert brief(load_order.omitted_in_vain, initramfs(DRACUT, omitted=omitted, modules=())) == []
    assert brief(load_order.omitted_in_vain, initramfs(DRACUT, omitted=words("nouveau"))) == []


@pytest.mark.parametrize("rule", load_order.RULES, ids=lambda rule: str(rule.code))
def test_silent_where_nothing_is_known(rule: Rule) -> None:
    bare = host(of(), modprobe=None, command_line=None, initramfs=None, kernel=None, distribution=None)
    assert brief(rule, replace(bare, board=None)) == []
