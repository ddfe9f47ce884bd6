"""Images of the substitute, booted: who holds the functions when udev has settled, as measured with mkinitcpio."""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.lab import cache
from pipeline.lab.board import Board
from pipeline.lab.image import debian
from pipeline.lab.image.kernels import kernel
from pipeline.lab.initcpio import archive, build, hooks
from pipeline.lab.initcpio.command import run
from pipeline.lab.initcpio.config import Config
from pipeline.lab.initcpio.modules import ModuleTree
from pipeline.lab.initcpio.outcome import Run
from pipeline.lab.machine import hardware
from pipeline.lab.run_directory import run_directory
from pipeline.lab.toolchain import Qemu, find
from pipeline.lab.vm import machine
from tests.mkinitcpio_rows import ALL, CASES, HOOKS, MODALIASES, NONE, ROWS, VFIO_CONF, Row

pytestmark = pytest.mark.vm

SECONDS = 90
MISSING = "==> ERROR: module not found: 'vfio_virqfd'"
FUNCTIONS = {"bochs-display": "02.0", "intel-hda": "03.0", "e1000e": "04.0"}
# As the lab's boards have it: the IOMMU's own function out of the way.
IOMMU = (
    "-device",
    "AMDVI-PCI,id=iommu,addr=1c.0",
    "-device",
    "amd-iommu,intremap=on,dma-remap=on,pci-id=iommu",
)
BOARD = Board(
    arguments=(
        *IOMMU,
        *(word for model, slot in FUNCTIONS.items() for word in ("-device", f"{model},addr={slot}")),
    ),
    emulated=(),
    own=(),
    modaliases=MODALIASES,
)
# In the place of the last part of /init, which would look for a root file system.
REPORT = """\
for function in {slots}; do
    driver=$(busybox readlink "/sys/bus/pci/devices/0000:00:$function/driver")
    echo "HELD $function ${{driver##*/}}"
done
busybox dmesg | busybox grep 'failed with error'
poweroff -f
""".format(slots=" ".join(FUNCTIONS.values()))
PRESET = """\
ALL_kver="/boot/vmlinuz-test"
PRESETS=('default')
default_image="/boot/initramfs-test.img"
"""


@dataclass(frozen=True)
class Kernel:
    image: Path
    release: str
    tree: Path


@dataclass(frozen=True)
class Lab:
    qemu: Qemu
    base: Path
    kernels: dict[str, Kernel]


@pytest.fixture(scope="module")
def lab() -> Lab:
    own = debian.image(print)
    old = kernel("bookworm", print)
    return Lab(
        qemu=find(print),
        base=own.base,
        kernels={
            "6.12": Kernel(own.kernel, own.release, own.tree),
            "6.1": Kernel(old.image, old.release, old.tree),
        },
    )


def host(root: Path, row: Row, series: str, kernel: Kernel) -> Path:
    """The file system of a host that is configured as the row says."""
    files = {
        "etc/mkinitcpio.conf": row.configuration(series).encode(),
        "etc/modprobe.d/vfio.conf": row.modprobe_d.encode(),
        "etc/mkinitcpio.d/test.preset": PRESET.encode(),
        "boot/vmlinuz-test": kernel.image.read_bytes(),
    }
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "usr/lib/modules").mkdir(parents=True)
    (root / "usr/lib/modules" / kernel.release).symlink_to(kernel.tree / "usr/lib/modules" / kernel.release)
    return root


@dataclass(frozen=True)
class Outcome:
    run: Run
    drivers: tuple[str, ...]
    serial: str


def measure(lab: Lab, root: Path, row: Row, series: str) -> Outcome:
    """Build the row's image with the substitute, boot it, and see who holds the functions."""
    there = lab.kernels[series]
    host(root, row, series, there)
    done = run(["-P"], root=root, base=lab.base, modaliases=MODALIASES, running="none")
    return boot(lab, root, done, there, row.command_line)


def boot(lab: Lab, root: Path, done: Run, there: Kernel, command_line: str = "") -> Outcome:
    (written,) = done.images
    report = io.BytesIO()
    archive.write([archive.file("dryboot-root", REPORT.encode())], report)
    with run_directory(cache.runs()) as directory:
        (directory.path / "initramfs.img").write_bytes(
            (root / written.path.lstrip("/")).read_bytes() + report.getvalue()
        )
        arguments = [
            *hardware(BOARD, accelerator="tcg", cpu_vendor="amd"),
            *("-kernel", str(there.image), "-initrd", "initramfs.img"),
            *("-append", f"quiet console=ttyS0 mitigations=off no_timer_check panic=-1 {command_line}"),
        ]
        with machine(lab.qemu, arguments, run=directory) as vm:
            try:
                vm.process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                pytest.fail(f"no end within {SECONDS} s:\n{vm.serial.read_text(errors='replace')[-2000:]}")
            serial = vm.serial.read_text(errors="replace")
    held = dict(re.findall(r"HELD (\S+) (\S*)\r?$", serial, re.MULTILINE))
    assert set(held) == set(FUNCTIONS.values()), serial[-2000:]
    return Outcome(
        run=done, drivers=tuple(held[slot] or "none" for slot in FUNCTIONS.values()), serial=serial
    )


@pytest.mark.parametrize(
    ("row", "series"), [pytest.param(row, series, id=f"{row.name}-{series}") for row, series in CASES]
)
def test_a_row_of_the_table(lab: Lab, tmp_path: Path, row: Row, series: str) -> None:
    found = measure(lab, tmp_path, row, series)
    assert found.run.status == row.status, found.run.messages
    assert (MISSING in found.run.messages) == bool(row.status)
    assert found.drivers == row.drivers
    refused = set(re.findall(r"0000:00:(\S\S\.\S)\b.* failed with error -22", found.serial))
    assert refused == (set(FUNCTIONS.values()) if "amd_iommu=off" in row.command_line else set())


Mutation = Callable[[pytest.MonkeyPatch, Path], None]


def modules_after_the_trigger(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    text = build.INIT.read_text()
    right = "        load\n        trigger\n"
    assert text.count(right) == 1
    (scratch / "init.sh").write_text(
        text.replace(right, "        trigger\n        udevadm settle\n        load\n")
    )
    monkeypatch.setattr(build, "INIT", scratch / "init.sh")


def modconf_always(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    genuine = hooks.run

    def run(hook: str, chosen: hooks.Chosen, *rest: Any) -> bool:
        chosen.modconf = True
        return genuine(hook, chosen, *rest)

    monkeypatch.setattr(hooks, "run", run)


def softdeps_of_modprobe_d_at_build(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    genuine = ModuleTree.files

    def files(tree: ModuleTree, names: Iterable[str]) -> set[str]:
        wanted = set(names)
        return genuine(tree, wanted | ({"vfio_pci"} if "bochs" in wanted else set()))

    monkeypatch.setattr(ModuleTree, "files", files)


def modules_in_another_order(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    genuine = build._early_modules
    monkeypatch.setattr(build, "_early_modules", lambda *all_: reversed([*genuine(*all_)]))


def modules_only_in_the_image(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    genuine = build._early_modules
    monkeypatch.setattr(build, "_early_modules", lambda *all_: iter([*genuine(*all_)][:0]))


def files_left_out(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    monkeypatch.setattr(build, "_files", lambda *_: None)


def modconf_only_before_kms(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    genuine = hooks.run

    def run(hook: str, chosen: hooks.Chosen, *rest: Any) -> bool:
        late = hook == "modconf" and "bochs" in chosen.modules
        return True if late else genuine(hook, chosen, *rest)

    monkeypatch.setattr(hooks, "run", run)


def kms_without_drivers(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    monkeypatch.setattr(
        hooks, "_MODULES", {name: groups for name, groups in hooks._MODULES.items() if name != "kms"}
    )


@pytest.mark.parametrize(
    ("mutation", "row", "wrong"),
    [
        (modules_after_the_trigger, "an optional module", ("bochs-drm", "vfio-pci", "vfio-pci")),
        (modconf_always, "no modconf", ALL),
        (modules_only_in_the_image, "no modconf, ids on the command line", NONE),
        (files_left_out, "FILES for modconf", NONE),
        (modules_in_another_order, "bochs first", ALL),
        (softdeps_of_modprobe_d_at_build, "a softdep alone", ALL),
        (modconf_only_before_kms, "kms before modconf", NONE),
        (kms_without_drivers, "amd_iommu=off", ("none", "none", "none")),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_wrong_behaviour_is_seen(
    lab: Lab,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mutation: Mutation,
    row: str,
    wrong: tuple[str, ...],
) -> None:
    there = next(one for one in ROWS if one.name == row)
    if "6.12" not in there.kernels:
        there = dataclasses.replace(there, modules=None)
    mutation(monkeypatch, tmp_path)
    found = measure(lab, tmp_path / "host", there, "6.12")
    assert found.drivers == wrong
    assert found.drivers != there.drivers


def missing_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.Image, "error", lambda *_: None)


def question_mark_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = build._early_modules

    def early(config: Config, *rest: Any) -> Iterator[str]:
        plain = tuple(name.removesuffix("?") for name in config.modules)
        return genuine(dataclasses.replace(config, modules=plain), *rest)

    monkeypatch.setattr(build, "_early_modules", early)


@pytest.mark.parametrize(
    ("mutation", "row", "wrong"),
    [(missing_is_no_error, "four modules", 0), (question_mark_means_nothing, "an optional module", 1)],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_a_wrong_exit_status_is_seen(
    lab: Lab,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mutation: Callable[[pytest.MonkeyPatch], None],
    row: str,
    wrong: int,
) -> None:
    there = next(one for one in ROWS if one.name == row and "6.12" in one.kernels)
    root = host(tmp_path, there, "6.12", lab.kernels["6.12"])
    arguments: dict[str, Any] = {"root": root, "base": lab.base, "modaliases": MODALIASES, "running": "none"}
    assert run(["-P"], **arguments).status == there.status
    mutation(monkeypatch)
    assert run(["-P"], **arguments).status == wrong != there.status


def test_systemd_s_init_leaves_the_order_to_softdeps(lab: Lab, tmp_path: Path) -> None:
    row = Row(
        name="systemd",
        hooks=tuple("systemd" if hook == "udev" else hook for hook in HOOKS),
        modprobe_d=VFIO_CONF + "softdep bochs pre: vfio-pci\n",
    )
    found = measure(lab, tmp_path, row, "6.12")
    assert found.run.status == 0
    assert found.run.images[0].start == "systemd"
    assert found.drivers == ALL


def test_without_udev_and_systemd_nothing_is_plugged_in(lab: Lab, tmp_path: Path) -> None:
    row = Row(name="base", modules=("vfio_pci",), hooks=("base", "autodetect", "kms", "filesystems"))
    found = measure(lab, tmp_path, row, "6.12")
    assert found.run.images[0].start == "base"
    assert any("/bochs.ko" in name for name in members(tmp_path / "boot/initramfs-test.img", lab.base))
    assert found.drivers == ("none", "none", "none")


def members(image: Path, base: Path) -> dict[str, str]:
    """What follows the base in an image."""
    with image.open("rb") as stream:
        stream.seek(base.stat().st_size)
        return archive.contents(stream)


def test_the_fallback_has_more_drivers_and_boots(lab: Lab, tmp_path: Path) -> None:
    row = Row(name="fallback", modules=("bochs",), modprobe_d="")
    root = host(tmp_path, row, "6.12", lab.kernels["6.12"])
    arguments: dict[str, Any] = {"root": root, "base": lab.base, "modaliases": MODALIASES, "running": "none"}
    run(["-P"], **arguments)
    small = members(root / "boot/initramfs-test.img", lab.base)
    preset = root / "etc/mkinitcpio.d/test.preset"
    preset.write_text(PRESET + 'default_options="-S autodetect"\n')
    found = boot(lab, root, run(["-P"], **arguments), lab.kernels["6.12"])
    large = members(root / "boot/initramfs-test.img", lab.base)
    assert set(small) < set(large)
    assert not any("/amdgpu.ko" in name for name in small)
    assert any("/amdgpu.ko" in name for name in large)
    assert found.drivers == NONE
