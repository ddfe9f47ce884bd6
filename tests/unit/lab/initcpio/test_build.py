"""What mkinitcpio v41 was measured to put into the image, row by row, as far as the build decides it."""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import pytest

from pipeline.lab.initcpio.build import INIT, Built, build
from pipeline.lab.initcpio.config import Config
from pipeline.lab.initcpio.modules import ModuleTree, module_name

BOCHS = "pci:v00001234d00001111sv00001AF4sd00001100bc03sc80i00"
HDA = "pci:v00008086d00002668sv00001AF4sd00001100bc04sc03i00"
DISK = "virtio:d00000002v00001AF4"
MACHINE = (BOCHS, HDA, DISK)

PATHS = {
    "bochs": "kernel/drivers/gpu/drm/tiny/bochs.ko",
    "radeon": "kernel/drivers/gpu/drm/radeon/radeon.ko",
    "drm": "kernel/drivers/gpu/drm/drm.ko",
    "snd_hda_intel": "kernel/sound/pci/hda/snd-hda-intel.ko",
    "virtio_blk": "kernel/drivers/block/virtio_blk.ko",
    "ext4": "kernel/fs/ext4/ext4.ko",
    "usbhid": "kernel/drivers/hid/usbhid/usbhid.ko",
    "vfio": "kernel/drivers/vfio/vfio.ko",
    "vfio_pci": "kernel/drivers/vfio/pci/vfio-pci.ko",
    "vfio_iommu_type1": "kernel/drivers/vfio/vfio_iommu_type1.ko",
    "vfio_virqfd": "kernel/drivers/vfio/vfio_virqfd.ko",
}
NEEDS = {
    "bochs": ["drm"],
    "radeon": ["drm"],
    "vfio_pci": ["vfio"],
    "vfio_iommu_type1": ["vfio"],
}
ALIASES = """\
alias pci:v00001234d00001111sv*sd*bc*sc*i* bochs
alias pci:v00001002d00005159sv*sd*bc*sc*i* radeon
alias pci:v00008086d00002668sv*sd*bc*sc*i* snd_hda_intel
alias virtio:d00000002v* virtio_blk
"""
VFIO_CONF = b"options vfio-pci ids=1234:1111,8086:2668\nsoftdep bochs pre: vfio-pci\n"
VFIO_61 = ("vfio_pci", "vfio", "vfio_iommu_type1", "vfio_virqfd")
VFIO_612 = VFIO_61[:3]
HOOKS = ("base", "udev", "autodetect", "modconf", "kms", "keyboard", "block", "filesystems", "fsck")
NO_MODCONF = tuple(hook for hook in HOOKS if hook != "modconf")


def kernel(root: Path, release: str) -> ModuleTree:
    tree = ModuleTree(root, release)
    tree.directory.mkdir(parents=True)
    there = {name: path for name, path in PATHS.items() if name != "vfio_virqfd" or release == "6.1"}
    lines = [
        f"{path}: {' '.join(PATHS[need] for need in NEEDS.get(name, []))}" for name, path in there.items()
    ]
    (tree.directory / "modules.dep").write_text("\n".join(lines) + "\n")
    (tree.directory / "modules.dep.bin").write_bytes(b"index")
    (tree.directory / "modules.alias").write_text(ALIASES)
    (tree.directory / "modules.softdep").write_text("softdep ext4 pre: crc32c\n")
    (tree.directory / "modules.builtin").write_text("kernel/drivers/ata/ahci.ko\n")
    for name, path in there.items():
        (tree.directory / path).parent.mkdir(parents=True, exist_ok=True)
        (tree.directory / path).write_bytes(name.encode())
    return tree


@dataclasses.dataclass
class Image:
    built: Built
    raw: bytes
    members: dict[str, tuple[int, bytes]]

    @property
    def modules(self) -> set[str]:
        return {module_name(path) for path in self.members if path.endswith(".ko")}

    @property
    def modprobe_d(self) -> list[str]:
        return [path for path in self.members if "modprobe.d/" in path]

    @property
    def early(self) -> bytes:
        return self.members["dryboot-modules"][1]


def read(data: bytes) -> dict[str, tuple[int, bytes]]:
    found = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        mode, size, name_size = (int(data[at + i : at + i + 8], 16) for i in (14, 54, 94))
        name = data[at + 110 : at + 109 + name_size].decode()
        if name == "TRAILER!!!":
            return found
        at += (110 + name_size + 3) // 4 * 4
        found[name] = (mode, data[at : at + size])
        at += (size + 3) // 4 * 4


@pytest.fixture
def make(tmp_path: Path):
    host = tmp_path / "host"
    (host / "etc/modprobe.d").mkdir(parents=True)
    (host / "usr/lib/modprobe.d").mkdir(parents=True)
    (host / "etc/modprobe.d/vfio.conf").write_bytes(VFIO_CONF)
    (host / "etc/modprobe.d/README").write_bytes(b"not a configuration")
    (host / "usr/lib/modprobe.d/aliases.conf").write_bytes(b"alias a b\n")

    def run(
        modules: tuple[str, ...] = (),
        hooks: tuple[str, ...] = HOOKS,
        *,
        files: tuple[str, ...] = (),
        binaries: tuple[str, ...] = (),
        release: str = "6.12",
        modaliases: tuple[str, ...] = MACHINE,
    ) -> Image:
        root = tmp_path / release
        tree = ModuleTree(root, release) if root.exists() else kernel(root, release)
        config = Config(modules=modules, hooks=hooks, files=files, binaries=binaries)
        target = tmp_path / "out.cpio"
        built = build(config, host_root=host, tree=tree, modaliases=modaliases, target=target)
        raw = target.read_bytes()
        return Image(built=built, raw=raw, members=read(raw))

    return run


BOTH_CONFS = ["etc/modprobe.d/vfio.conf", "usr/lib/modprobe.d/aliases.conf"]


def test_four_modules_with_a_kernel_that_has_them(make) -> None:
    image = make(VFIO_61, release="6.1")
    assert (image.built.status, image.built.messages) == (0, ())
    assert set(VFIO_61) <= image.modules
    assert image.early == b"early_modules='vfio_pci vfio vfio_iommu_type1 vfio_virqfd'\n"
    assert image.modprobe_d == BOTH_CONFS
    assert image.members["etc/modprobe.d/vfio.conf"][1] == VFIO_CONF


def test_a_missing_module_is_an_error_and_the_image_is_written_all_the_same(make) -> None:
    image = make(VFIO_61)
    assert image.built.status == 1
    assert image.built.messages == (
        "==> ERROR: module not found: 'vfio_virqfd'",
        "==> WARNING: errors were encountered during the build. The image may not be complete.",
    )
    assert set(VFIO_612) <= image.modules
    assert image.early == b"early_modules='vfio_pci vfio vfio_iommu_type1'\n"
    assert image.modprobe_d == BOTH_CONFS
    assert "init" in image.members


def test_a_question_mark_makes_a_module_optional(make) -> None:
    image = make((*VFIO_612, "vfio_virqfd?"))
    assert (image.built.status, image.built.messages) == (0, ())
    assert image.early == b"early_modules='vfio_pci vfio vfio_iommu_type1'\n"
    there = make((*VFIO_612, "vfio_virqfd?"), release="6.1")
    assert there.early == b"early_modules='vfio_pci vfio vfio_iommu_type1 vfio_virqfd'\n"


def test_without_modconf_no_modprobe_d_is_in_the_image(make) -> None:
    image = make(VFIO_61, NO_MODCONF, release="6.1")
    assert image.built.status == 0
    assert set(VFIO_61) <= image.modules
    assert image.modprobe_d == []


def test_files_bring_the_one_configuration_without_modconf(make) -> None:
    image = make(VFIO_612, NO_MODCONF, files=("/etc/modprobe.d/vfio.conf",))
    assert image.built.status == 0
    assert image.modprobe_d == ["etc/modprobe.d/vfio.conf"]
    assert image.members["etc/modprobe.d/vfio.conf"] == (stat.S_IFREG | 0o644, VFIO_CONF)


def test_modules_are_loaded_in_the_order_of_the_array(make) -> None:
    image = make(("bochs", *VFIO_612))
    assert image.built.status == 0
    assert image.early == b"early_modules='bochs vfio_pci vfio vfio_iommu_type1'\n"
    assert {"bochs", "drm"} <= image.modules


def test_softdeps_of_modprobe_d_are_not_followed(make) -> None:
    image = make(())
    assert image.built.status == 0
    assert image.early == b"early_modules=''\n"
    assert "bochs" in image.modules
    assert not any(name.startswith("vfio") for name in image.modules)
    assert image.modprobe_d == BOTH_CONFS


def test_kms_before_modconf_gives_the_same_image(make) -> None:
    other = tuple(hook for hook in HOOKS if hook not in {"kms", "modconf"})
    assert make(VFIO_612, ("kms", "modconf", *other)).raw == make(VFIO_612).raw


def test_kms_adds_the_gpu_driver_of_this_board_only(make) -> None:
    assert {"bochs", "drm"} <= make().modules
    assert "radeon" not in make().modules
    assert "snd_hda_intel" not in make().modules
    assert "bochs" not in make(hooks=tuple(hook for hook in HOOKS if hook != "kms")).modules
    assert "bochs" not in make(modaliases=(HDA, DISK)).modules


def test_the_root_file_system_can_be_reached(make) -> None:
    assert {"virtio_blk", "ext4", "usbhid"} <= make().modules
    assert make(hooks=("base", "udev")).modules == set()


def test_built_in_modules_are_no_error_and_have_no_file(make) -> None:
    image = make(("ahci",))
    assert image.built.status == 0
    assert image.early == b"early_modules='ahci'\n"
    assert "ahci" not in image.modules


@pytest.mark.parametrize("spelling", ["vfio-pci", "vfio_pci"])
def test_both_spellings_of_a_module_are_found(make, spelling: str) -> None:
    image = make((spelling,))
    assert image.built.status == 0
    assert {"vfio_pci", "vfio"} <= image.modules


def test_an_unknown_hook_is_an_error(make) -> None:
    image = make(VFIO_612, (*HOOKS, "modcnf"))
    assert image.built.status == 1
    assert image.built.messages[0] == "==> ERROR: Hook 'modcnf' cannot be found"
    assert "vfio_pci" in image.modules


@pytest.mark.parametrize("name", ["/etc/none", "/etc/../etc/modprobe.d/vfio.conf", "/etc/modprobe.d"])
def test_a_file_that_cannot_be_taken_is_an_error(make, name: str) -> None:
    image = make(files=(name,))
    assert image.built.status == 1
    assert image.built.messages[0] == f"==> ERROR: file not found: '{name}'"
    assert not any(".." in path for path in image.members)


def test_binaries_are_refused(make) -> None:
    image = make(binaries=("/usr/bin/strace",))
    assert image.built.status == 1
    assert "BINARIES are not supported by this substitute: '/usr/bin/strace'" in image.built.messages[0]


def test_the_hooks_of_today_name_systemd_as_a_stand_in(make) -> None:
    hooks = tuple("systemd" if hook == "udev" else hook for hook in HOOKS)
    built = make(VFIO_612, (*hooks, "microcode", "sd-vconsole")).built
    assert built.status == 0
    assert len(built.stand_ins) == 1
    assert "systemd" in built.stand_ins[0]


def test_without_autodetect_the_image_says_what_it_leaves_out(make) -> None:
    built = make(hooks=tuple(hook for hook in HOOKS if hook != "autodetect")).built
    assert [text.partition(" hook")[0] for text in built.stand_ins] == [
        "without autodetect the real kms",
        "without autodetect the real block",
    ]
    assert make().built.stand_ins == ()


def test_the_image_has_an_init_and_the_indexes_of_kmod(make) -> None:
    image = make(VFIO_612)
    assert image.members["init"] == (stat.S_IFREG | 0o755, INIT.read_bytes())
    assert stat.S_ISDIR(image.members["new_root"][0])
    base = "usr/lib/modules/6.12"
    assert image.members[f"{base}/modules.dep.bin"][1] == b"index"
    assert image.members[f"{base}/{PATHS['vfio_pci']}"][1] == b"vfio_pci"


def test_the_same_input_gives_the_same_bytes(make) -> None:
    assert make(VFIO_61).raw == make(VFIO_61).raw
    assert make(VFIO_612).raw == make(VFIO_612, modaliases=tuple(reversed(MACHINE))).raw
