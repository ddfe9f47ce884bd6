"""The hook script, run against a sysfs, a proc and programs that are only files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.plan import Plan, resolve
from pipeline.plan.handover_expectations import TAG
from pipeline.plan.model import Written
from pipeline.render import Inputs, render
from pipeline.render.host_files import host_files, steps
from pipeline.scenario import read

PLAN = resolve(read("single-gpu"))
NVIDIA = resolve(read("intel-geforce", settings=["host.vfio.when=guest-start", "host.display_manager=gdm"]))
PREPARE, RELEASE = ("win10", "prepare", "begin", "-"), ("win10", "release", "end", "-")
CARD = "0000:02:00.0"
# Programs that only say that they were called; one whose name is in `fails` exits with 1, as does one whose whole
# call is in it.
_STUB = """#!/bin/sh
echo "${0##*/} $*" >> said
case ${0##*/} in systemctl) [ "$1" != is-active ] || exec test -e active ;; esac
! grep -qxF -e "${0##*/}" -e "${0##*/} $*" fails
"""
PROGRAMS = ("systemctl", "modprobe", "logger", "sleep")


@dataclass
class World:
    """A host that is a directory; `hook` runs in it as libvirt would run it."""

    root: Path
    plan: Plan = PLAN

    def __post_init__(self) -> None:
        (self.root / "bin").mkdir()
        for name in PROGRAMS:
            (self.root / "bin" / name).write_text(_STUB)
            (self.root / "bin" / name).chmod(0o755)
        self.put("fails", "")
        self.put("said", "")
        self.put("active", "")
        (self.root / "proc/1/fd").mkdir(parents=True)
        self.put("proc/1/comm", "systemd\n")
        (self.root / "sys/bus/pci/devices" / CARD).mkdir(parents=True)
        self.console("vtcon0", "(S) dummy device", "0")
        self.console("vtcon1", "(M) frame buffer device", "1")

    def put(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def console(self, name: str, kind: str, bound: str) -> None:
        self.put(f"sys/class/vtconsole/{name}/name", f"{kind}\n")
        self.put(f"sys/class/vtconsole/{name}/bind", f"{bound}\n")

    def framebuffer(self, driver: str = "efi-framebuffer", *, shows: bool = True) -> None:
        folder = self.root / "sys/bus/platform/drivers" / driver
        (folder / f"{driver}.0").mkdir(parents=True)
        if shows:
            (folder / f"{driver}.0/graphics/fb0").mkdir(parents=True)
        for name in ("bind", "unbind"):
            (folder / name).write_text("")
        (self.root / f"sys/bus/platform/devices/{driver}.0").mkdir(parents=True)

    def node(self, name: str, *, pid: int | None = None) -> None:
        """A node of the card, open in a process `pid`."""
        (self.root / f"sys/bus/pci/devices/{CARD}/drm/{name}").mkdir(parents=True)
        if pid:
            self.put(f"proc/{pid}/comm", "sway\n")
            (self.root / f"proc/{pid}/fd").mkdir(exist_ok=True)
            (self.root / f"proc/{pid}/fd/7").symlink_to(f"/dev/dri/{name}")

    @property
    def state(self) -> Path:
        return self.root / f"state-{self.plan.guest.name}"

    def hook(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        assert self.plan.host.handover is not None
        script = host_files(self.plan)[self.plan.host.handover.hook].decode()
        for line, played in (
            ("\nsys=/sys\n", f"\nsys={self.root}/sys\n"),
            ("\nproc=/proc\n", f"\nproc={self.root}/proc\n"),
            ("\nstate=/run/passthrough-", f"\nstate={self.root}/state-"),
        ):
            assert script.count(line) == 1
            script = script.replace(line, played)
        self.put("hook", script)
        (self.root / "hook").chmod(0o755)
        path = f"{self.root}/bin:{os.environ['PATH']}"
        return subprocess.run(
            ["./hook", *arguments],
            cwd=self.root,
            env={"PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def said(self) -> list[str]:
        """The calls so far that change something."""
        calls = self.text("said").splitlines()
        self.put("said", "")
        return [one for one in calls if not one.startswith(("logger", "sleep", "systemctl is-active"))]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_host_lets_go_and_takes_back_in_the_reverse_order(world: World) -> None:
    world.framebuffer()
    done = world.hook(*PREPARE)
    assert done.returncode == 0, done.stderr
    assert world.said() == ["systemctl stop sddm.service", "modprobe vfio-pci"]
    assert world.text("sys/class/vtconsole/vtcon1/bind") == "0\n"
    assert world.text("sys/class/vtconsole/vtcon0/bind") == "0\n"
    assert world.text("sys/bus/platform/drivers/efi-framebuffer/unbind") == "efi-framebuffer.0\n"
    assert world.state.read_text().splitlines() == [
        "unit sddm.service",
        "console",
        "framebuffer efi-framebuffer efi-framebuffer.0",
    ]
    world.console("vtcon0", "(S) dummy device", "as it was")
    done = world.hook(*RELEASE)
    assert done.returncode == 0, done.stderr
    assert world.said() == ["systemctl --no-block start sddm.service"]
    assert world.text("sys/class/vtconsole/vtcon1/bind") == "1\n"
    assert world.text("sys/class/vtconsole/vtcon0/bind") == "as it was\n"
    assert world.text("sys/bus/platform/drivers/efi-framebuffer/bind") == "efi-framebuffer.0\n"
    assert not world.state.exists()


def test_messages_go_to_the_journal(world: World) -> None:
    world.hook(*PREPARE)
    world.hook(*RELEASE)
    said = [line for line in world.text("said").splitlines() if line.startswith("logger")]
    assert said == [
        f"logger -t {TAG} -- win10: the host has let go of the card",
        f"logger -t {TAG} -- win10: the host has taken the card back",
    ]
    world.put("fails", "logger\n")
    assert world.hook(*PREPARE).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("win11", "prepare", "begin", "-"),
        ("win10-2", "prepare", "begin", "-"),
        ("win1", "release", "end", "-"),
        ("win10", "start", "begin", "-"),
        ("win10", "started", "begin", "-"),
        ("win10", "stopped", "end", "-"),
        ("win10", "migrate", "begin", "-"),
        ("win10", "prepare", "end", "-"),
    ],
)
def test_other_guests_and_operations_are_none_of_its_business(
    world: World, arguments: tuple[str, ...]
) -> None:
    assert world.hook(*arguments).returncode == 0
    assert world.text("said") == ""
    assert not world.state.exists()


def test_a_release_without_anything_done_does_nothing(world: World) -> None:
    assert world.hook(*RELEASE).returncode == 0
    assert world.text("said") == ""


def test_a_display_manager_that_does_not_run_is_not_started_afterwards(world: World) -> None:
    (world.root / "active").unlink()
    assert world.hook(*PREPARE).returncode == 0
    assert world.hook(*RELEASE).returncode == 0
    assert world.said() == ["modprobe vfio-pci"]
    assert world.text("sys/class/vtconsole/vtcon1/bind") == "1\n"


def test_a_host_without_a_display_manager(tmp_path: Path) -> None:
    world = World(tmp_path, resolve(read("single-gpu", settings=["host.display_manager=null"])))
    assert world.hook(*PREPARE).returncode == 0
    assert world.hook(*RELEASE).returncode == 0
    assert world.text("said").count("systemctl") == 0


@pytest.mark.parametrize("there", ["nothing", "no console", "left over"])
def test_a_host_without_a_frame_buffer_of_the_firmware_is_no_failure(world: World, there: str) -> None:
    """What its driver has left of it must not be touched either."""
    if there == "no console":
        shutil.rmtree(world.root / "sys/class/vtconsole")
    if there == "left over":
        world.framebuffer(shows=False)
    done = world.hook(*PREPARE)
    assert (done.returncode, done.stderr) == (0, "the host has let go of the card\n")
    assert "framebuffer" not in world.state.read_text()
    if there == "left over":
        assert world.text("sys/bus/platform/drivers/efi-framebuffer/unbind") == ""


@pytest.mark.parametrize("driver", ["simple-framebuffer", "vesa-framebuffer"])
def test_every_kind_of_it_is_let_go(world: World, driver: str) -> None:
    world.framebuffer(driver)
    assert world.hook(*PREPARE).returncode == 0
    assert world.text(f"sys/bus/platform/drivers/{driver}/unbind") == f"{driver}.0\n"


def test_a_console_that_was_not_bound_is_left_alone(world: World) -> None:
    world.console("vtcon1", "(M) frame buffer device", "0")
    world.hook(*PREPARE)
    world.hook(*RELEASE)
    assert world.text("sys/class/vtconsole/vtcon1/bind") == "0\n"


@pytest.mark.parametrize("fails", ["modprobe", "systemctl stop sddm.service", "unbind", "console"])
def test_a_failure_is_undone_and_keeps_the_guest_from_starting(world: World, fails: str) -> None:
    world.framebuffer()
    unwritable = {
        "unbind": world.root / "sys/bus/platform/drivers/efi-framebuffer/unbind",
        "console": world.root / "sys/class/vtconsole/vtcon1/bind",
    }.get(fails)
    if unwritable:
        # A directory: root may write into every file.
        text = unwritable.read_text()
        if fails == "console":
            world.console("vtcon1", "(M) frame buffer device", "1")
            script = unwritable.with_name("name")
            assert script.exists() and text == "1\n"
            world.put("bin/cat", '#!/bin/sh\ncase $1 in */bind) echo 1 ;; *) exec /bin/cat "$@" ;; esac\n')
            (world.root / "bin/cat").chmod(0o755)
        unwritable.unlink()
        unwritable.mkdir()
    else:
        world.put("fails", f"{fails}\n")
    done = world.hook(*PREPARE)
    assert done.returncode == 1
    assert "the host keeps the card: letting go of it failed" in done.stderr
    assert world.said()[-1] == "systemctl --no-block start sddm.service"
    assert not world.state.exists()
    if fails == "modprobe":
        assert world.text("sys/class/vtconsole/vtcon1/bind") == "1\n"
        assert world.text("sys/bus/platform/drivers/efi-framebuffer/bind") == "efi-framebuffer.0\n"
    # libvirt calls it all the same: qemuProcessStop().
    world.put("fails", "")
    assert world.hook(*RELEASE).returncode == 0
    assert world.said() == []


def test_what_cannot_be_undone_does_not_keep_the_rest_from_it(world: World) -> None:
    world.framebuffer()
    world.hook(*PREPARE)
    shutil.rmtree(world.root / "sys/bus/platform/drivers")
    done = world.hook(*RELEASE)
    assert done.returncode == 0
    assert "could not undo: framebuffer efi-framebuffer efi-framebuffer.0" in done.stderr
    assert world.said()[-1] == "systemctl --no-block start sddm.service"
    assert world.text("sys/class/vtconsole/vtcon1/bind") == "1\n"
    assert not world.state.exists()


def test_what_vfio_pci_has_removed_for_good_is_no_failure(world: World) -> None:
    world.framebuffer()
    world.hook(*PREPARE)
    shutil.rmtree(world.root / "sys/bus/platform/devices")
    assert world.hook(*RELEASE).stderr == "the host has taken the card back\n"
    assert world.text("sys/bus/platform/drivers/efi-framebuffer/bind") == ""


@pytest.mark.parametrize("node", ["card0", "renderD128"])
def test_a_card_in_use_is_not_taken_away(world: World, node: str) -> None:
    world.node(node, pid=42)
    done = world.hook(*PREPARE)
    assert done.returncode == 1
    assert f"the card is in use: sway (process 42) has /dev/dri/{node} open" in done.stderr
    assert world.text("said").count("sleep 0.5") == 20
    assert world.said() == ["systemctl stop sddm.service", "systemctl --no-block start sddm.service"]
    assert world.text("sys/class/vtconsole/vtcon1/bind") == "1\n"


def test_a_program_that_ends_is_waited_for(world: World) -> None:
    world.node("card0", pid=42)
    world.put("bin/sleep", "#!/bin/sh\nrm -r proc/42\n")
    assert world.hook(*PREPARE).returncode == 0


def test_the_node_of_another_card_does_not_matter(world: World) -> None:
    world.node("card0")
    world.put("proc/42/comm", "sway\n")
    (world.root / "proc/42/fd").mkdir()
    (world.root / "proc/42/fd/7").symlink_to("/dev/dri/card1")
    (world.root / "proc/42/fd/8").symlink_to("/dev/dri/card01")
    assert world.hook(*PREPARE).returncode == 0


def test_nvidia_s_modules_go_and_come_back_in_the_reverse_order(tmp_path: Path) -> None:
    world = World(tmp_path, NVIDIA)
    for name in ("nvidia", "nvidia_modeset", "nvidia_drm"):
        (tmp_path / "sys/module" / name).mkdir(parents=True)
    guest = NVIDIA.guest.name
    assert world.hook(guest, "prepare", "begin").returncode == 0
    away = [f"modprobe -r {name}" for name in ("nvidia_drm", "nvidia_modeset", "nvidia")]
    assert world.said() == ["systemctl stop gdm.service", *away, "modprobe vfio-pci"]
    assert world.hook(guest, "release", "end").returncode == 0
    back = [f"modprobe {name}" for name in ("nvidia", "nvidia_modeset", "nvidia_drm")]
    assert world.said() == [*back, "systemctl --no-block start gdm.service"]


def test_a_module_in_use_is_a_failure_that_is_undone(tmp_path: Path) -> None:
    world = World(tmp_path, NVIDIA)
    for name in ("nvidia", "nvidia_drm"):
        (tmp_path / "sys/module" / name).mkdir(parents=True)
    world.put("fails", "modprobe -r nvidia\n")
    assert world.hook(NVIDIA.guest.name, "prepare", "begin").returncode == 1
    assert world.said()[-3:] == [
        "modprobe nvidia",
        "modprobe nvidia_drm",
        "systemctl --no-block start gdm.service",
    ]


def test_what_a_release_did_not_undo_is_undone_by_the_next(world: World) -> None:
    """libvirt's daemon may have died in between: the display manager is down and stays on the list."""
    world.hook(*PREPARE)
    (world.root / "active").unlink()
    world.console("vtcon1", "(M) frame buffer device", "0")
    assert world.hook(*PREPARE).returncode == 0
    world.said()
    assert world.hook(*RELEASE).returncode == 0
    assert world.said() == ["systemctl --no-block start sddm.service"]
    assert world.text("sys/class/vtconsole/vtcon1/bind") == "1\n"


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def hostile(guest: str, unit: str) -> Plan:
    later = PLAN.host.handover
    assert later is not None
    manager = Written(value=unit, place=later.place)
    host = replace(PLAN.host, handover=replace(later, display_manager=manager))
    return replace(PLAN, host=host, guest=replace(PLAN.guest, name=guest))


@given(guest=text, unit=text)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_names_come_back_as_they_are(tmp_path: Path, guest: str, unit: str) -> None:
    script = host_files(hostile(guest, unit))["etc/libvirt/hooks/qemu.d/win10-passthrough"].decode()
    head = script.partition("\nsys=/sys\n")[0]
    print_all = head + '\nprintf "%s\\0%s\\0%s" "$guest" "$display_manager" "$state"\n'
    done = subprocess.run(["sh", "-c", print_all], capture_output=True, cwd=tmp_path, check=True)
    assert done.stdout.decode().split("\0") == [guest, unit, f"/run/passthrough-{guest}"]
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("guest", ["a/b", "$(id)", "a b", "../x", "a\nb"])
def test_a_guest_that_cannot_be_a_file_is_refused(guest: str) -> None:
    with pytest.raises(BadInput, match="cannot be the name of a file"):
        render(hostile(guest, "sddm.service"), inputs=Inputs(scenario=b""))


@pytest.mark.parametrize(
    ("settings_", "files"),
    [
        ((), {"etc/default/grub", "etc/grub.d/42_without_passthrough"}),
        (
            ("host.initramfs.extra_modules=[btrfs]",),
            {"etc/default/grub", "etc/grub.d/42_without_passthrough", "etc/mkinitcpio.conf"},
        ),
        (
            ("host.distribution=fedora", "host.initramfs={extra_modules: [btrfs]}"),
            {"etc/default/grub", "etc/grub.d/42_without_passthrough", "etc/dracut.conf.d/10-vfio.conf"},
        ),
    ],
)
def test_the_bundle_has_only_what_changes_something(settings_: tuple[str, ...], files: set[str]) -> None:
    found = host_files(resolve(read("single-gpu", settings=settings_)))
    assert set(found) == {*files, "etc/libvirt/hooks/qemu.d/win10-passthrough"}
    assert not [name for name, data in found.items() if b"vfio.conf" in data]


def test_the_steps_say_how_to_get_back_without_a_screen() -> None:
    document = steps(PLAN, domain="libvirt/win10.xml").decode()
    for wanted in (
        "sudo install -D -m 755 etc/libvirt/hooks/qemu.d/win10-passthrough",
        "sudo systemctl try-restart libvirtd",
        "**From a dark screen.**",
        f"journalctl -b -t {TAG}",
        "sudo virsh destroy win10",
    ):
        assert wanted in document
    [removed] = [line for line in document.splitlines() if line.startswith("sudo rm -f /etc")]
    assert "/etc/libvirt/hooks/qemu.d/win10-passthrough" in removed
    assert "mkinitcpio" not in document
    assert "must say `Kernel driver in use: vfio-pci`" not in document


def test_an_old_libvirt_s_only_hook_is_shared() -> None:
    old = resolve(read("single-gpu", settings=["host.year=2019", "host.kernel='4.19'", "host.qemu='4.0'"]))
    assert "etc/libvirt/hooks/qemu" in host_files(old)
    assert "one hook for all guests" in steps(old, domain="d").decode()
    assert "one hook for all guests" not in steps(PLAN, domain="d").decode()


@pytest.mark.parametrize(
    ("distribution", "loader"),
    [
        *((name, "grub") for name in ("manjaro", "arch", "debian", "fedora")),
        *(("arch", loader) for loader in ("systemd-boot", "uki")),
    ],
)
@pytest.mark.parametrize("extra", ["", "btrfs"])
def test_every_shell_block_of_the_steps_parses(distribution: str, loader: str, extra: str) -> None:
    root = "null" if loader == "grub" else "LABEL=root"
    plan = resolve(
        read(
            "single-gpu",
            settings=[
                f"host.distribution={distribution}",
                f"host.bootloader={loader}",
                f"host.root={root}",
                f"host.initramfs={{extra_modules: [{extra}]}}",
            ],
        )
    )
    document = steps(plan, domain="libvirt/win10.xml").decode()
    blocks = re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    assert len(blocks) == 9
    for block in blocks:
        assert block.strip()
        subprocess.run(["sh", "-n"], input=block.encode(), check=True)
    assert "\nls  2>" not in document
    assert "\n\n\n" not in document
    # The initramfs is made anew only where something in it changes.
    tools = ("mkinitcpio -P", "dracut --force", "update-initramfs")
    remade = any(tool in block for block in blocks for tool in tools)
    assert remade is (bool(extra) or loader == "uki")
    daemon = "virtqemud" if distribution == "fedora" else "libvirtd"
    assert f"sudo systemctl try-restart {daemon}\n" in document
