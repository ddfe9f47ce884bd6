"""What mkinitcpio v41 was measured to put into the image, row by row, as far as the build decides it."""

from __future__ import annotations

import dataclasses
import shlex
import stat
from pathlib import Path

import pytest

from pipeline.lab.initcpio.build import INIT, Built, build
from pipeline.lab.initcpio.config import Config
from pipeline.lab.initcpio.modules import ModuleTree, module_name
from tests.initcpio_trees import DISK, HDA, MACHINE, PATHS, kernel, read

VFIO_CONF = b"options vfio-pci ids=1234:1111,8086:2668\nsoftdep bochs pre: vfio-pci\n"
VFIO_61 = ("vfio_pci", "vfio", "vfio_iommu_type1", "vfio_virqfd")
VFIO_612 = VFIO_61[:3]
HOOKS = ("base", "udev", "autodetect", "modconf", "kms", "keyboard", "block", "filesystems", "fsck")
NO_MODCONF = tuple(hook for hook in HOOKS if hook != "modconf")


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
    def settings(self) -> list[str]:
        return self.members["dryboot-modules"][1].decode().splitlines()

    @property
    def early(self) -> list[str]:
        return shlex.split(self.settings[1].removeprefix("early_modules="))[0].split()


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
        config = Config(modules=modules, hooks=hooks, files=files, binaries=binaries, systemd_modules=modules)
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
    assert image.early == ["vfio_pci", "vfio", "vfio_iommu_type1", "vfio_virqfd"]
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
    assert image.early == ["vfio_pci", "vfio", "vfio_iommu_type1"]
    assert image.modprobe_d == BOTH_CONFS
    assert "init" in image.members


def test_a_question_mark_makes_a_module_optional(make) -> None:
    image = make((*VFIO_612, "vfio_virqfd?"))
    assert (image.built.status, image.built.messages) == (0, ())
    assert image.early == ["vfio_pci", "vfio", "vfio_iommu_type1"]
    there = make((*VFIO_612, "vfio_virqfd?"), release="6.1")
    assert there.early == ["vfio_pci", "vfio", "vfio_iommu_type1", "vfio_virqfd"]


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
    assert image.early == ["bochs", "vfio_pci", "vfio", "vfio_iommu_type1"]
    assert {"bochs", "drm"} <= image.modules


def test_softdeps_of_modprobe_d_are_not_followed(make) -> None:
    image = make(())
    assert image.built.status == 0
    assert image.early == []
    assert "bochs" in image.modules
    assert not any(name.startswith("vfio") for name in image.modules)
    assert image.modprobe_d == BOTH_CONFS


def test_kms_before_modconf_gives_the_same_image(make) -> None:
    swapped = tuple({"kms": "modconf", "modconf": "kms"}.get(hook, hook) for hook in HOOKS)
    assert swapped != HOOKS
    assert make(VFIO_612, swapped).raw == make(VFIO_612).raw


def test_kms_adds_the_gpu_driver_of_this_board_only(make) -> None:
    assert {"bochs", "drm"} <= make().modules
    assert "radeon" not in make().modules
    assert "snd_hda_intel" not in make().modules
    assert "bochs" not in make(hooks=tuple(hook for hook in HOOKS if hook != "kms")).modules
    assert "bochs" not in make(modaliases=(HDA, DISK)).modules


def test_the_root_file_system_can_be_reached(make) -> None:
    assert {"virtio_blk", "ext4", "usbhid"} <= make().modules
    assert make(hooks=("base", "udev")).modules == set()


def test_built_in_modules_are_no_error_and_neither_a_file_nor_loaded(make) -> None:
    image = make(("ahci",))
    assert image.built.status == 0
    assert image.early == []
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


@pytest.mark.parametrize("name", ["/etc/none", "/etc/../../secret", "/etc/modprobe.d", "/etc/circle", ""])
def test_a_file_that_cannot_be_taken_is_an_error(make, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("outside of the host")
    (tmp_path / "host/etc/circle").symlink_to("circle")
    image = make(files=(name,))
    assert image.built.status == 1
    assert image.built.messages[0] == f"==> ERROR: file not found: '{name}'"
    assert not any(".." in path for path in image.members)


def test_binaries_come_with_what_they_need(make, tmp_path: Path) -> None:
    program = tmp_path / "host/usr/bin/hello"
    program.parent.mkdir(parents=True)
    program.write_bytes(b"#!/usr/bin/python3 -I\n")
    program.chmod(0o755)
    for name in ("hello", "/usr/bin/hello"):
        image = make(binaries=(name,))
        assert image.built.status == 0
        assert image.members["usr/bin/hello"] == (stat.S_IFREG | 0o755, b"#!/usr/bin/python3 -I\n")
        assert image.built.messages == (
            "==> WARNING: Possibly missing '/usr/bin/python3' for script: /usr/bin/hello",
        )


def test_a_binary_that_is_not_there_is_an_error(make) -> None:
    assert make(binaries=("strace",)).built.messages[0] == "==> ERROR: binary not found: 'strace'"
    assert make(binaries=("/usr/bin/x",)).built.messages[0] == "==> ERROR: file not found: '/usr/bin/x'"
    assert make(binaries=("strace",)).built.status == 1


def test_the_hooks_of_today_name_systemd_as_a_stand_in(make) -> None:
    hooks = tuple("systemd" if hook == "udev" else hook for hook in HOOKS)
    built = make(VFIO_612, (*hooks, "microcode", "sd-vconsole")).built
    assert built.status == 0
    assert len(built.stand_ins) == 1
    assert "systemd" in built.stand_ins[0]


def test_systemd_gets_the_array_as_it_is_written(make) -> None:
    hooks = tuple("systemd" if hook == "udev" else hook for hook in HOOKS)
    image = make((*VFIO_612, "ahci", "no'such"), hooks)
    assert image.settings[0] == "start=systemd"
    assert image.early == [*VFIO_612, "ahci", "no'such"]
    assert image.built.status == 1


@pytest.mark.parametrize(
    ("hooks", "start"),
    [
        (("base", "udev"), "udev"),
        (("base",), "base"),
        (("systemd",), "systemd"),
        (("base", "systemd"), "systemd"),
        (("systemd", "base"), "base"),
        (("base", "udev", "systemd"), "systemd"),
    ],
)
def test_whose_init_is_in_the_image(make, hooks: tuple[str, ...], start: str) -> None:
    assert make(hooks=hooks).settings[0] == f"start={start}"


@pytest.mark.parametrize("hooks", [("udev",), ("modconf",)])
def test_without_base_and_systemd_there_is_no_init(make, hooks: tuple[str, ...]) -> None:
    assert not {"init", "dryboot-modules"} & set(make(hooks=hooks).members)


def test_hooks_before_autodetect_and_without_it_add_every_driver(make) -> None:
    assert "radeon" not in make().modules
    assert "radeon" in make(hooks=("base", "udev", "kms", "autodetect")).modules
    assert "radeon" in make(hooks=("base", "udev", "kms")).modules
    assert "radeon" not in make(hooks=("base", "udev", "autodetect", "kms")).modules


def test_a_hook_that_nothing_here_needs_is_a_stand_in(make) -> None:
    built = make(hooks=(*HOOKS, "encrypt", "lvm2")).built
    assert built.status == 0
    assert [text.split()[2] for text in built.stand_ins] == ["encrypt", "lvm2"]


@pytest.mark.parametrize("folder", ["etc/initcpio/install", "usr/lib/initcpio/install"])
def test_a_hook_of_the_host_s_own_is_an_error_that_says_so(make, tmp_path: Path, folder: str) -> None:
    path = tmp_path / "host" / folder / "vfio"
    path.parent.mkdir(parents=True)
    path.touch()
    built = make(hooks=(*HOOKS, "vfio")).built
    assert built.status == 1
    assert f"Hook 'vfio' is the host's own (/{folder}/vfio)" in built.messages[0]


def test_modules_found_by_another_name_are_in_the_image_and_not_loaded(make) -> None:
    image = make(("fs-ext4",), ("base", "udev"))
    assert image.built.status == 0
    assert image.modules == {"ext4"}
    assert image.early == []


def test_modprobe_d_of_links_is_read_inside_the_host(make, tmp_path: Path) -> None:
    (tmp_path / "secret.conf").write_text("outside")
    folder = tmp_path / "host/etc/modprobe.d"
    (folder / "out.conf").symlink_to("../../../secret.conf")
    (folder / "in.conf").symlink_to("/etc/modprobe.d/README")
    image = make()
    assert "etc/modprobe.d/out.conf" not in image.members
    assert image.members["etc/modprobe.d/in.conf"] == (stat.S_IFLNK | 0o777, b"/etc/modprobe.d/README")
    assert image.members["etc/modprobe.d/README"][1] == b"not a configuration"


def test_an_image_without_modules_is_warned_of(make) -> None:
    built = make(hooks=("base", "udev")).built
    assert built.status == 0
    assert built.messages == (
        "==> WARNING: No modules were added to the image. This is probably not what you want.",
    )


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
