"""The host stage: the rendered files are applied to L1's file system by its own tools, then L1 boots."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import paramiko
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from pipeline.errors import LabFault
from pipeline.lab import domain, payload
from pipeline.lab.accel import Accelerator
from pipeline.lab.board import DISK_SLOT, NETWORK_SLOT, Board
from pipeline.lab.image import HostImage
from pipeline.lab.initcpio.build import Built, build
from pipeline.lab.initcpio.config import read_config, read_preset
from pipeline.lab.initcpio.modules import ModuleTree
from pipeline.lab.machine import hardware
from pipeline.lab.overlay import Put, copy_sparse, put
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.servers import device_server
from pipeline.lab.shape import READY, shape
from pipeline.lab.shell import KeyPair, Shell, key_pair
from pipeline.lab.toolchain import Qemu
from pipeline.lab.vm import Machine, machine
from pipeline.plan.model import Plan

BOOT_SECONDS = {"tcg": 240, "kvm": 90}
# Every probe of a driver goes to the kernel's log: drivers/base/dd.c really_probe().
LAB_PARAMETERS = 'rw console=ttyS0 mitigations=off log_buf_len=4M dyndbg="func really_probe +p"'
_BOOT_FAILED = "DRYBOOT: "


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
    puts |= shape(plan, image, visitor=visitor, host_key=host_key)
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
        target.write_bytes(b"")
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
    arguments = [
        *hardware(board, accelerator=accelerator.l1, cpu_vendor=cpu_vendor),
        *("-blockdev", f"driver=file,filename={prepared.disk.name},node-name=disk,cache.no-flush=on"),
        *("-device", f"virtio-blk-pci,drive=disk,addr={DISK_SLOT:x}.0"),
        *("-netdev", "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"),
        *("-device", f"virtio-net-pci,netdev=net,addr={NETWORK_SLOT:x}.0,romfile="),
        *("-kernel", str(image.kernel), "-initrd", prepared.initramfs.name),
        *("-append", f"{prepared.command_line} root=LABEL={image.label} {LAB_PARAMETERS}"),
    ]
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


def _log_in(
    vm: Machine,
    server: subprocess.Popen[bytes],
    prepared: Prepared,
    port: int,
    deadline: float,
    progress: Callable[[str], None],
) -> Shell:
    progress("booting the host")
    while not _ready(vm):
        if server.poll() is not None:
            raise LabFault("the server of the emulated functions has ended")
        vm.check()
        if time.monotonic() > deadline:
            raise LabFault("the host was not up in time", hint="the end of its serial line is in the logs")
        time.sleep(0.2)
    return _connect(port, prepared)


def _ready(vm: Machine) -> bool:
    """Whether L1 has said on its serial line that it is up; raises HostDoesNotBoot if it has said it cannot."""
    text = vm.serial.read_text(errors="replace") if vm.serial.exists() else ""
    for line in text.splitlines():
        if line.startswith(_BOOT_FAILED):
            raise HostDoesNotBoot(line.removeprefix(_BOOT_FAILED).strip())
    return READY in text


@retry(
    retry=retry_if_exception_type((OSError, paramiko.SSHException, EOFError)),
    stop=stop_after_attempt(5),
    wait=wait_fixed(1),
    reraise=True,
)
def _connect_once(port: int, prepared: Prepared) -> Shell:
    return Shell.connect(port=port, identity=prepared.identity, known_hosts=prepared.known_hosts, timeout=30)


def _connect(port: int, prepared: Prepared) -> Shell:
    try:
        return _connect_once(port, prepared)
    except (OSError, paramiko.SSHException, EOFError) as error:
        raise LabFault(f"the host is up, but ssh does not answer: {error}") from error
