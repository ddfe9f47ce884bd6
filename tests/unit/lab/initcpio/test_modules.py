from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.lab.initcpio.modules import ModuleTree, module_name

RELEASE = "6.12.0-test"
DEP = """\
kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko.xz: kernel/drivers/gpu/drm/ttm/ttm.ko.xz
kernel/drivers/gpu/drm/ttm/ttm.ko.xz:
kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/pci/vfio-pci-core.ko.xz kernel/drivers/vfio/vfio.ko.xz
kernel/drivers/vfio/pci/vfio-pci-core.ko.xz: kernel/drivers/vfio/vfio.ko.xz
kernel/drivers/vfio/vfio.ko.xz:
kernel/fs/ext4/ext4.ko.xz:
kernel/arch/x86/crypto/crc32c-intel.ko.xz:
kernel/sound/pci/hda/snd-hda-intel.ko.xz:
kernel/drivers/loop-a.ko:
kernel/drivers/loop-b.ko:
kernel/drivers/many.ko:
"""
ALIAS = """\
# Aliases extracted from modules themselves.
alias pci:v00001002d000067EFsv*sd*bc*sc*i* amdgpu
alias pci:v00001002d*sv*sd*bc03sc00i* radeon
alias pci:v00001002d*sv*sd*bc04sc03i00* snd_hda_intel
alias pci:v*d*sv*sd*bc01sc08i02* nvme
alias acpi*:PNP0A03:* acpi_thing
alias usb:v1D6Bp*d*dc*dsc*dp*ic03isc*ip*in* usbhid
alias usb:v1D6Bp*d0[0-5]*dc*dsc*dp*ic09isc*ip*in* old-hub
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio-pci
alias virtio:d00000002v* virtio_blk
alias crc32c crc32c-intel
alias fs-ext4 ext4
alias platform:loop loop-a
alias broken line with too many words
"""
SOFTDEP = """\
# Soft dependencies extracted from modules themselves.
softdep ext4 pre: crc32c
softdep loop-a pre: loop-b post: ttm
softdep loop_b pre: loop-a
softdep many pre: crc32c
softdep many post: platform:loop
softdep short
"""
BUILT_IN = "kernel/drivers/usb/host/xhci-pci.ko\nkernel/drivers/ata/ahci.ko\n"

RX560 = "pci:v00001002d000067EFsv0000148Csd00002385bc03sc00i00"
RX560_AUDIO = "pci:v00001002d0000AAE0sv0000148Csd0000AAE0bc04sc03i00"


@pytest.fixture
def tree(tmp_path: Path) -> ModuleTree:
    found = ModuleTree(tmp_path, RELEASE)
    found.directory.mkdir(parents=True)
    for name, text in (
        ("modules.dep", DEP),
        ("modules.alias", ALIAS),
        ("modules.softdep", SOFTDEP),
        ("modules.builtin", BUILT_IN),
    ):
        (found.directory / name).write_text(text)
    return found


def names(paths: set[str]) -> set[str]:
    return {module_name(path) for path in paths}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("kernel/drivers/vfio/pci/vfio-pci.ko.xz", "vfio_pci"),
        ("kernel/drivers/vfio/vfio.ko", "vfio"),
        ("a/snd-hda-intel.ko.zst", "snd_hda_intel"),
        ("a/b.ko.gz", "b"),
        ("nvme", "nvme"),
    ],
)
def test_module_names(path: str, name: str) -> None:
    assert module_name(path) == name


def test_modules_and_built_ins_are_there_in_both_spellings(tree: ModuleTree) -> None:
    assert all(tree.has(name) for name in ("vfio_pci", "vfio-pci", "xhci_pci", "xhci-pci", "ahci"))
    assert not tree.has("vfio_virqfd")


def test_files_are_the_module_and_what_it_needs(tree: ModuleTree) -> None:
    assert tree.files(["vfio-pci"]) == {
        "kernel/drivers/vfio/pci/vfio-pci.ko.xz",
        "kernel/drivers/vfio/pci/vfio-pci-core.ko.xz",
        "kernel/drivers/vfio/vfio.ko.xz",
    }


def test_softdeps_of_the_kernel_count_also_by_an_alias(tree: ModuleTree) -> None:
    assert names(tree.files(["ext4"])) == {"ext4", "crc32c_intel"}


def test_softdeps_in_a_circle_end(tree: ModuleTree) -> None:
    assert names(tree.files(["loop_a"])) == {"loop_a", "loop_b", "ttm"}


def test_several_lines_of_softdeps_count_all(tree: ModuleTree) -> None:
    assert names(tree.files(["many"])) == {"many", "crc32c_intel", "loop_a", "loop_b", "ttm"}


def test_a_name_that_a_module_goes_by(tree: ModuleTree) -> None:
    assert tree.named("fs-ext4") == {"ext4"}
    assert tree.named("vfio-pci") == {"vfio_pci"}
    assert tree.named("nosuch") == set()
    assert tree.has("fs-ext4")
    assert tree.has("fs_ext4")
    assert not tree.is_module("fs-ext4")
    assert tree.is_module("vfio-pci")


def test_built_in_modules_go_by_their_aliases_too(tree: ModuleTree) -> None:
    (tree.directory / "modules.builtin.modinfo").write_bytes(
        b"lzo.alias=crypto-lzo\0lzo.license=GPL\0ahci.alias=pci:v*\0"
    )
    assert tree.has("crypto-lzo")
    assert not tree.has("pci:v*")
    assert tree.files(["crypto-lzo"]) == set()


def test_modules_by_their_path(tree: ModuleTree) -> None:
    assert tree.matching(re.compile("/drivers/(gpu|vfio)/")) == {
        *("amdgpu", "ttm", "vfio_pci", "vfio_pci_core", "vfio"),
    }
    assert tree.matching(re.compile("^/kernel/fs"), without=re.compile("ext4")) == set()


def test_what_the_kernel_does_not_say_is_added(tree: ModuleTree) -> None:
    dep = tree.directory / "modules.dep"
    dep.write_text(DEP + "kernel/fs/fat/fat.ko:\nkernel/fs/nls/nls_cp437.ko:\n")
    assert names(tree.files(["fat"])) == {"fat", "nls_cp437"}


def test_built_in_and_unknown_modules_have_no_files(tree: ModuleTree) -> None:
    assert tree.files(["ahci", "vfio_virqfd"]) == set()
    assert tree.path_of("ahci") == ""
    assert tree.path_of("vfio-pci") == "kernel/drivers/vfio/pci/vfio-pci.ko.xz"


@pytest.mark.parametrize(
    ("modalias", "drivers"),
    [
        (RX560, {"amdgpu", "radeon"}),
        (RX560_AUDIO, {"snd_hda_intel"}),
        ("pci:v00001002d000067EEsv0000148Csd00002385bc03sc80i00", set()),
        ("pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02", {"nvme"}),
        ("virtio:d00000002v00001AF4", {"virtio_blk"}),
        ("usb:v1D6Bp0003d0612dc09dsc00dp03ic09isc00ip00in00", set()),
        ("usb:v1D6Bp0003d0512dc09dsc00dp03ic09isc00ip00in00", {"old_hub"}),
        ("", set()),
        ("pci", set()),
    ],
)
def test_for_modalias(tree: ModuleTree, modalias: str, drivers: set[str]) -> None:
    assert tree.for_modalias(modalias) == drivers


def test_ids_are_compared_with_their_case(tree: ModuleTree) -> None:
    assert tree.for_modalias(RX560.replace("67EF", "67ef")) == {"radeon"}


def test_an_alias_for_another_bus_never_claims(tree: ModuleTree) -> None:
    assert "vfio_pci" not in tree.for_modalias(RX560)


def test_a_release_without_indexes_has_nothing(tmp_path: Path) -> None:
    tree = ModuleTree(tmp_path, "none")
    assert not tree.has("vfio")
    assert tree.files(["vfio"]) == set()
    assert tree.for_modalias(RX560) == set()
