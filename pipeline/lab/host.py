"""The host stage: the rendered files are applied to L1's file system by its own tools, then L1 boots."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import paramiko

from pipeline.errors import LabFault
from pipeline.lab import domain, payload
from pipeline.lab.accel import Accelerator
from pipeline.lab.board import DISK_SLOT, NETWORK_INTERFACE, NETWORK_SLOT, Board
from pipeline.lab.image import HostImage
from pipeline.lab.initcpio.build import Built, build
from pipeline.lab.initcpio.config import read_config, read_preset
from pipeline.lab.initcpio.modules import ModuleTree
from pipeline.lab.overlay import Put, copy_sparse, put
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.servers import device_server
from pipeline.lab.shell import KeyPair, Shell, key_pair
from pipeline.lab.toolchain import Qemu
from pipeline.lab.vm import Machine, machine
from pipeline.plan.model import Plan

MEMORY_MIB = 2048
BOOT_SECONDS = {"tcg": 240, "kvm": 90}
# Every probe of a driver goes to the kernel's log: drivers/base/dd.c really_probe().
PROBE_LOG = 'dyndbg="func really_probe +p"'
_BOOT_FAILED = "DRYBOOT: "

_NETWORK_UNIT = """[Unit]
Description=Addresses and bridges that the lab needs
DefaultDependencies=no
BindsTo=sys-subsystem-net-devices-{interface}.device
After=sys-subsystem-net-devices-{interface}.device
Before=network.target ssh.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip address add 10.0.2.15/24 dev {interface}
ExecStart=/usr/sbin/ip link set {interface} up
{bridge}[Install]
WantedBy=multi-user.target
"""
_BRIDGE = (
    "ExecStart=/usr/sbin/ip link add {bridge} type bridge\nExecStart=/usr/sbin/ip link set {bridge} up\n"
)
_PRESET = """ALL_kver="{kernel}"
{config}PRESETS=({presets})
default_image="{image}"
fallback_image="{fallback}"
fallback_options="-S autodetect"
"""


class HostDoesNotBoot(Exception):
    """L1 said itself that it cannot go on: the configuration's fault, with what it said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What L1 boots from, and what the host's own tools said while it was applied."""

    disk: Path
    initramfs: Path
    command_line: str
    initramfs_built: Built
    identity: Path
    known_hosts: Path
    host_key: KeyPair


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """L1, booted and reachable."""

    machine: Machine
    shell: Shell
    port: int
    boot_seconds: float


def prepare(
    plan: Plan,
    files: Mapping[str, bytes],
    *,
    domain_xml: bytes,
    board: Board,
    image: HostImage,
    qemu: Qemu,
    shell_program: Path,
    run: RunDirectory,
) -> Prepared:
    """Put the rendered files (paths below `/`) into a copy of the image and run mkinitcpio on them.

    Raises LabFault; what the configuration itself gets wrong is in the result.
    """
    disk = run.path / "l1.ext4"
    copy_sparse(image.root, disk)
    visitor, host_key = key_pair(), key_pair()
    puts = {f"/{path}": Put(data=data) for path, data in files.items()}
    puts |= _shape(plan, image, visitor, host_key)
    puts |= _media(domain_xml, qemu, shell_program, run)
    put(disk, puts, scratch=run.path / "put")
    host_root = run.path / "host"
    for path, what in puts.items():
        if path.startswith("/etc/") and not what.link:
            target = host_root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(what.data)
    built = _mkinitcpio(plan, host_root, board, image, run.path / "configured.cpio")
    initramfs = run.path / "initramfs.img"
    initramfs.write_bytes(image.base.read_bytes() + (run.path / "configured.cpio").read_bytes())
    identity, known_hosts = run.path / "identity", run.path / "known_hosts"
    identity.write_bytes(visitor.private)
    identity.chmod(0o600)
    return Prepared(
        disk=disk,
        initramfs=initramfs,
        command_line=_command_line(host_root / "etc/default/grub"),
        initramfs_built=built,
        identity=identity,
        known_hosts=known_hosts,
        host_key=host_key,
    )


def _shape(plan: Plan, image: HostImage, visitor: KeyPair, host_key: KeyPair) -> dict[str, Put]:
    """What makes the root look like the scenario's distribution, and lets the lab in."""
    facts = plan.host.distribution
    release = "".join(f"{key}={shlex.quote(value)}\n" for key, value in facts.os_release.items())
    bridge = _BRIDGE.format(bridge=plan.guest.bridge) if plan.guest.bridge else ""
    presets = "'default' 'fallback'" if facts.fallback_by_default else "'default'"
    preset = _PRESET.format(
        kernel=facts.kernel_image,
        config='ALL_config="/etc/mkinitcpio.conf"\n' if facts.preset_names_config else "",
        presets=presets,
        image=facts.initramfs_image,
        fallback=facts.fallback_image,
    )
    unit = _NETWORK_UNIT.format(interface=NETWORK_INTERFACE, bridge=bridge)
    wanted = "/etc/systemd/system/multi-user.target.wants/dryboot-network.service"
    return {
        "/usr/lib/os-release": Put(data=release.encode()),
        facts.preset: Put(data=preset.encode()),
        facts.kernel_image: Put(link=f"vmlinuz-{image.release}"),
        facts.ovmf_code: Put(link="/usr/share/OVMF/OVMF_CODE_4M.fd"),
        facts.ovmf_vars: Put(link="/usr/share/OVMF/OVMF_VARS_4M.fd"),
        "/root/.ssh/authorized_keys": Put(data=visitor.public, mode=0o600),
        "/etc/ssh/ssh_host_ed25519_key": Put(data=host_key.private, mode=0o600),
        "/etc/ssh/ssh_host_ed25519_key.pub": Put(data=host_key.public),
        "/etc/systemd/system/dryboot-network.service": Put(data=unit.encode()),
        wanted: Put(link="../dryboot-network.service"),
    }


def _media(domain_xml: bytes, qemu: Qemu, shell_program: Path, run: RunDirectory) -> dict[str, Put]:
    """Stand-ins at the domain's own paths: the payload for what boots first, empty media for the rest."""
    found: dict[str, Put] = {}
    for number, medium in enumerate(domain.media(domain_xml)):
        image = run.path / f"medium{number}"
        if number == 0:
            fat = run.path / "payload.fat"
            payload.fat_image(shell_program, domain.root_ports(domain_xml), fat)
            if medium.cdrom:
                payload.boot_iso(fat, image)
            else:
                image.write_bytes(fat.read_bytes())
        else:
            image.write_bytes(bytes(1 << 20))
        if medium.format != "raw":
            converted = image.with_suffix(f".{medium.format}")
            _qemu_img(qemu, ["convert", "-f", "raw", "-O", medium.format, str(image), str(converted)])
            image = converted
        found[medium.path] = Put(data=image.read_bytes())
    return found


def _qemu_img(qemu: Qemu, arguments: list[str]) -> None:
    argv = list(qemu.argv)
    position = next(i for i, part in enumerate(argv) if part.endswith("qemu-system-x86_64"))
    argv[position:] = [str(Path(argv[position]).with_name("qemu-img"))]
    try:
        done = subprocess.run(
            [*argv, *arguments],
            env=qemu.merged_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"qemu-img: {error}") from error
    if done.returncode:
        raise LabFault(f"qemu-img: {done.stderr.strip()}")


def _mkinitcpio(plan: Plan, host_root: Path, board: Board, image: HostImage, target: Path) -> Built:
    """What `mkinitcpio -P` does for the preset's default image."""
    facts = plan.host.distribution
    try:
        preset = read_preset(host_root / facts.preset.lstrip("/"))[0]
        config = read_config(host_root / (preset.config or "/etc/mkinitcpio.conf").lstrip("/"))
    except ValueError as error:
        return Built(status=1, messages=(f"==> ERROR: {error}",), stand_ins=())
    tree = ModuleTree(image.tree, image.release)
    return build(config, host_root=host_root, tree=tree, modaliases=board.modaliases, target=target)


def _command_line(grub: Path) -> str:
    """The parameters that grub-mkconfig would write: it sources the file in a POSIX shell (grub-mkconfig.in)."""
    script = '. "$1"; printf %s "$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(grub)],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    if done.returncode:
        raise LabFault(f"/etc/default/grub cannot be read by a shell: {done.stderr.strip()}")
    return done.stdout.strip()


@contextlib.contextmanager
def boot(
    prepared: Prepared,
    *,
    board: Board,
    image: HostImage,
    qemu: Qemu,
    accelerator: Accelerator,
    cpu_vendor: str,
    run: RunDirectory,
    progress: Callable[[str], None],
) -> Iterator[Host]:
    """Boot L1 and log in; L1 and the servers of its emulated functions end with the context.

    Raises HostDoesNotBoot where L1 itself says that it cannot go on, LabFault for everything else.
    """
    arguments = _arguments(prepared, board, image, accelerator, cpu_vendor)
    with device_server(board.emulated, run=run) as server, machine(qemu, arguments, run=run) as vm:
        port = vm.forwarded_port()
        prepared.known_hosts.write_bytes(b"[127.0.0.1]:%d %s" % (port, prepared.host_key.public))
        started = time.monotonic()
        shell = _log_in(vm, server, prepared, port, started + BOOT_SECONDS[accelerator.l1], progress)
        try:
            # Drivers that are still being loaded may take what nobody holds yet.
            shell.run("udevadm settle --timeout=90", timeout=100)
            yield Host(machine=vm, shell=shell, port=port, boot_seconds=time.monotonic() - started)
            vm.check()
            if server.poll() is not None:
                raise LabFault("the server of the emulated functions has ended")
        except LabFault:
            # Whatever was noticed first, a dead QEMU or device server is the reason.
            time.sleep(0.2)
            vm.check()
            if server.poll() is not None:
                raise LabFault("the server of the emulated functions has ended") from None
            raise
        finally:
            shell.close()


def _arguments(
    prepared: Prepared, board: Board, image: HostImage, accelerator: Accelerator, cpu_vendor: str
) -> list[str]:
    cpu = "host" if accelerator.l1 == "kvm" else ("EPYC" if cpu_vendor == "amd" else "Skylake-Client")
    irqchip = ""
    if cpu_vendor == "intel":
        # Interrupt remapping of intel-iommu wants it (hw/i386/intel_iommu.c vtd_decide_config).
        irqchip = ",kernel_irqchip=" + ("split" if accelerator.l1 == "kvm" else "off")
    accel = "kvm" if accelerator.l1 == "kvm" else "tcg,thread=multi"
    lab = f"root=LABEL={image.label} rw console=ttyS0 mitigations=off log_buf_len=4M {PROBE_LOG}"
    return [
        *("-machine", f"q35,memory-backend=memory{irqchip}", "-accel", accel, "-cpu", cpu, "-smp", "2"),
        # The servers of the emulated functions map the guest's memory, so it is shared.
        *("-m", f"{MEMORY_MIB}M", "-object", f"memory-backend-memfd,id=memory,size={MEMORY_MIB}M,share=on"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-no-reboot"),
        *board.arguments,
        *("-blockdev", f"driver=file,filename={prepared.disk.name},node-name=disk,cache.no-flush=on"),
        *("-device", f"virtio-blk-pci,drive=disk,addr={DISK_SLOT:x}.0"),
        *("-netdev", "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"),
        *("-device", f"virtio-net-pci,netdev=net,addr={NETWORK_SLOT:x}.0,romfile="),
        *("-kernel", str(image.kernel), "-initrd", prepared.initramfs.name),
        *("-append", f"{prepared.command_line} {lab}"),
    ]


def _log_in(
    vm: Machine,
    server: subprocess.Popen[bytes],
    prepared: Prepared,
    port: int,
    deadline: float,
    progress: Callable[[str], None],
) -> Shell:
    progress("booting the host")
    while True:
        if server.poll() is not None:
            raise LabFault("the server of the emulated functions has ended")
        for line in vm.serial.read_text(errors="replace").splitlines() if vm.serial.exists() else ():
            if line.startswith(_BOOT_FAILED):
                raise HostDoesNotBoot(line.removeprefix(_BOOT_FAILED).strip())
        vm.check()
        if time.monotonic() > deadline:
            raise LabFault(
                "the host was not reachable in time", hint="the end of its serial line is in the logs"
            )
        try:
            return Shell.connect(
                port=port, identity=prepared.identity, known_hosts=prepared.known_hosts, timeout=20
            )
        except (OSError, paramiko.SSHException, EOFError):
            time.sleep(0.5)
