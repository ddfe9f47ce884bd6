"""What the generators are told: mkinitcpio with presets and drop-ins, dracut, initramfs-tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.files.setup import read
from pipeline.setup.model import Initramfs
from tests.machines import no_domains, setup_of

CONFIG = {"etc/mkinitcpio.conf": "# x\nMODULES=(vfio_pci\n vfio)\nHOOKS=(base modconf)\nFILES=(/etc/x)\n"}
DROP_IN = {"etc/mkinitcpio.conf.d/a.conf": "MODULES+=(btrfs)\n"}
PRESET = "etc/mkinitcpio.d/linux.preset"


def initramfs(files: dict[str, str]) -> Initramfs:
    found = setup_of(files).host.initramfs
    assert found is not None
    return found


def modules(found: Initramfs) -> list[str]:
    return [one.value for one in found.modules]


def test_mkinitcpio() -> None:
    found = initramfs({**CONFIG, **DROP_IN})
    assert found.generator == "mkinitcpio"
    assert [(one.value, str(one.place)) for one in found.modules] == [
        ("vfio_pci", "m/etc/mkinitcpio.conf:2:10"),
        ("vfio", "m/etc/mkinitcpio.conf:3:2"),
        ("btrfs", "m/etc/mkinitcpio.conf.d/a.conf:1:11"),
    ]
    assert [one.value for one in found.hooks] == ["base", "modconf"]
    assert str(found.hooks_where) == "m/etc/mkinitcpio.conf:4:1"
    assert [one.value for one in found.files] == ["/etc/x"]
    assert found.fallback is None


def test_a_list_as_a_text() -> None:
    assert modules(initramfs({"etc/mkinitcpio.conf": 'MODULES="a b"\n'})) == ["a", "b"]


@pytest.mark.parametrize(
    "preset",
    [
        "ALL_config=/etc/mkinitcpio.conf\nPRESETS=(default)\n",
        "PRESETS=(default)\ndefault_config='/etc/mkinitcpio.conf'\n",
        "PRESETS=(default)\ndefault_options='-c /etc/mkinitcpio.conf'\n",
        "PRESETS=(default)\ndefault_options=(--config /etc/mkinitcpio.conf)\n",
    ],
)
def test_a_preset_that_names_a_configuration_shuts_drop_ins_out(preset: str) -> None:
    found = initramfs({**CONFIG, **DROP_IN, PRESET: preset})
    assert modules(found) == ["vfio_pci", "vfio"]
    (ignored,) = found.ignored
    assert str(ignored.place) == "m/etc/mkinitcpio.conf.d/a.conf"
    assert "linux.preset" in ignored.why


def test_another_configuration_is_the_one_that_is_read() -> None:
    preset = "PRESETS=(default)\ndefault_config=/etc/own.conf\n"
    assert modules(initramfs({**CONFIG, PRESET: preset, "etc/own.conf": "MODULES=(own)\n"})) == ["own"]


def test_a_drop_in_that_replaces() -> None:
    found = initramfs({**CONFIG, "etc/mkinitcpio.conf.d/a.conf": "MODULES=(btrfs)\n"})
    assert modules(found) == ["btrfs"]
    (ignored,) = found.ignored
    assert str(ignored.place) == "m/etc/mkinitcpio.conf:2:1"
    assert "a.conf:1:1" in ignored.why


def test_drop_ins_are_read_by_their_numbers() -> None:
    names = [f"etc/mkinitcpio.conf.d/{number}.conf" for number in (10, 9)]
    assert modules(initramfs({**CONFIG, **{name: f"MODULES+=(m{name[22:-5]})\n" for name in names}}))[
        -2:
    ] == ["m9", "m10"]


@pytest.mark.parametrize(
    ("presets", "fallback"), [("('default')", False), ("('default' 'fallback')", True), ("($(x))", None)]
)
def test_fallback(presets: str, fallback: bool | None) -> None:
    found = initramfs({**CONFIG, PRESET: f"PRESETS={presets}\nfallback_options='-S autodetect'\n"})
    assert found.fallback is fallback
    assert [one.value for one in found.hooks] == ["base", "modconf"]


def test_hooks_that_the_preset_leaves_out_and_adds() -> None:
    found = initramfs({**CONFIG, PRESET: "PRESETS=(default)\ndefault_options='-S modconf,x -A kms'\n"})
    assert [one.value for one in found.hooks] == ["base", "kms"]


def test_the_preset_of_the_kernel() -> None:
    files = {
        **CONFIG,
        "boot/vmlinuz-6.12-x86_64": "",
        "etc/mkinitcpio.d/linux419.preset": "PRESETS=(default fallback)\n",
        "etc/mkinitcpio.d/linux612.preset": "PRESETS=(default)\n",
    }
    assert initramfs(files).fallback is False


def test_modules_that_only_running_tells() -> None:
    setup = setup_of({"etc/mkinitcpio.conf": "if true; then\nMODULES=(vfio_pci)\nfi\n"})
    assert [str(one.place) for one in setup.unread] == ["m/etc/mkinitcpio.conf:2:1"]


def test_dracut() -> None:
    files = {
        "etc/dracut.conf": "",
        "usr/lib/dracut/dracut.conf.d/01-dist.conf": 'force_drivers+=" dist "\n',
        "usr/lib/dracut/dracut.conf.d/vfio.conf": 'force_drivers+=" hidden "\n',
        "etc/dracut.conf.d/vfio.conf": 'force_drivers+=" vfio_pci "\nadd_drivers+=" vfio "\n'
        'omit_drivers+=" vfio_pci "\ninstall_items+=" /etc/modprobe.d/vfio.conf "\n',
    }
    found = initramfs(files)
    assert found.generator == "dracut"
    assert modules(found) == ["dist", "vfio_pci"]
    assert [(one.value, str(one.place)) for one in found.late] == [
        ("vfio", "m/etc/dracut.conf.d/vfio.conf:2:16")
    ]
    assert [one.value for one in found.files] == ["/etc/modprobe.d/vfio.conf"]


def test_names_without_blanks_between_run_together() -> None:
    files = {
        "etc/dracut.conf.d/a.conf": 'force_drivers+="a"\n',
        "etc/dracut.conf.d/b.conf": 'force_drivers+="b"\n',
    }
    assert modules(initramfs(files)) == ["ab"]


@pytest.mark.parametrize(
    ("written", "host_only"),
    [('hostonly="yes"\n', True), ("hostonly=no\n", False), ("hostonly=$(x)\n", None), ("", None)],
)
def test_what_dracut_leaves_out(written: str, host_only: bool | None) -> None:
    found = initramfs({"etc/dracut.conf": f'omit_drivers+=" nouveau vfio-pci "\n{written}'})
    assert [one.value for one in found.omitted] == ["nouveau", "vfio-pci"]
    assert found.host_only is host_only


def test_a_parameter_loads_what_dracut_only_adds() -> None:
    files = {
        "etc/dracut.conf.d/a.conf": 'add_drivers+=" vfio-pci vfio "\n',
        "etc/default/grub": "GRUB_CMDLINE_LINUX=rd.driver.pre=vfio_pci,none\n",
    }
    found = initramfs(files)
    assert [(one.value, one.place.file) for one in found.modules] == [("vfio_pci", "m/etc/default/grub")]
    assert [one.value for one in found.late] == ["vfio"]


SCRIPT = '#!/bin/sh\nPREREQ="%s"\nfor m in vfio_pci vfio; do\n  /sbin/modprobe -q "$m"\ndone\n'


@pytest.mark.parametrize(
    ("name", "needed", "early"),
    [("00-vfio", "", True), ("vfio", "", False), ("00-vfio", "udev", False)],
)
def test_initramfs_tools(name: str, needed: str, early: bool) -> None:
    files = {
        f"etc/initramfs-tools/scripts/init-top/{name}": SCRIPT % needed,
        "etc/initramfs-tools/modules": "# x\nvfio_pci ids=1:2\nkvm\n",
    }
    found = initramfs(files)
    assert found.generator == "initramfs-tools"
    assert modules(found) == (["vfio_pci", "vfio"] if early else [])
    late = [one.value for one in found.late]
    assert late == (["kvm"] if early else ["vfio_pci", "vfio", "vfio_pci", "kvm"])
    if early:
        assert [(one.place.line, one.place.column) for one in found.modules] == [(3, 10), (3, 19)]


def test_a_script_that_is_not_executable_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "etc/initramfs-tools/scripts/init-top"
    folder.mkdir(parents=True)
    script = folder / "00-vfio"
    script.write_text(SCRIPT % "")
    script.chmod(0o644)
    found = read(tmp_path, shown="/", read_domains=no_domains).host.initramfs
    assert found is not None
    assert found.modules == ()
    assert [str(one.place) for one in found.ignored] == ["/etc/initramfs-tools/scripts/init-top/00-vfio"]
    script.chmod(0o755)
    found = read(tmp_path, shown="/", read_domains=no_domains).host.initramfs
    assert found is not None
    assert modules(found) == ["vfio_pci", "vfio"]


@pytest.mark.parametrize(
    ("release", "generator"),
    [
        ("ID=arch", "mkinitcpio"),
        ("ID=fedora", "dracut"),
        ("ID=debian", "initramfs-tools"),
        ("ID=x", "mkinitcpio"),
    ],
)
def test_the_distributions_own_where_there_are_several(release: str, generator: str) -> None:
    files = {
        "etc/os-release": release,
        **CONFIG,
        "etc/dracut.conf.d/a.conf": "",
        "etc/initramfs-tools/modules": "",
    }
    setup = setup_of(files)
    assert setup.host.initramfs is not None
    assert setup.host.initramfs.generator == generator
    assert any(f"uses {generator}" in one.what for one in setup.unread)


def test_booster_is_not_understood() -> None:
    setup = setup_of({"etc/booster.yaml": "x"})
    assert setup.host.initramfs is None
    assert [str(one.place) for one in setup.unread] == ["m/etc/booster.yaml"]
