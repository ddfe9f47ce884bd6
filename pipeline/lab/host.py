"""The host stage: L1 boots what was applied to its file system, as its owner's machine would."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from pipeline.errors import LabFault
from pipeline.lab import console, domain, payload, unified
from pipeline.lab.accel import Accelerator
from pipeline.lab.apply import LAB_PARAMETERS, Applied
from pipeline.lab.board import DISK_SLOT, NETWORK_SLOT, Board
from pipeline.lab.functions import medium
from pipeline.lab.grub import Entry
from pipeline.lab.image import HostImage
from pipeline.lab.loader import Files, boot_once, menu
from pipeline.lab.loader import disk as disk_of
from pipeline.lab.machine import hardware
from pipeline.lab.overlay import Put, copy_sparse, identify, put
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.servers import device_server
from pipeline.lab.shape import READY, access
from pipeline.lab.shell import KeyPair, Shell, key_pair
from pipeline.lab.toolchain import Qemu
from pipeline.lab.vm import Machine, machine

BOOT_SECONDS = {"tcg": 240, "kvm": 90}
# GRUB goes on after some errors; with this much silence after one it does not.
_GRUB_SECONDS = 30
# What comes after the line that names the cause.
_LAST_WORDS = 1.0
_LOOK_SECONDS = 0.1


class HostDoesNotBoot(Exception):
    """L1 cannot go on: the configuration's fault, with the cause and the end of its console."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What L1 boots from: its disk, QEMU's arguments, and how to log in. `entry` is what is booted."""

    disk: Path
    boot: tuple[str, ...]
    entry: Entry
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
    applied: Applied,
    *,
    bootloader: str,
    root: str | None,
    domain_xml: bytes,
    image: HostImage,
    qemu: Qemu,
    shell_program: Path,
    firmware: tuple[Path, Path],
    fast: bool,
    run: RunDirectory,
    entry: str = "",
    script: payload.Script = payload.script,
    linux: medium.Linux | None = None,
) -> Prepared:
    """Make L1's disks from a copy of the image and what was applied to it.

    It boots as its owner's machine does, firmware and boot loader included; `fast` gives kernel and initramfs of
    the boot loader's entry to QEMU. `script` is what the guest's payload runs, `linux` what it boots after the
    shell, which has a script of its own then; `entry` is the identifier of the one to boot once, else the default;
    `root` what the entry calls the root file system, where it does. Raises
    HostDoesNotBoot where there is nothing to boot, LabFault.
    """
    files = Files(applied=applied, image=image)
    chosen = _chosen(menu(bootloader, files), bootloader, entry)
    if entry:
        files = boot_once(bootloader, entry, files, run)
    disk = run.path / "l1.ext4"
    copy_sparse(image.root, disk)
    visitor, host_key = key_pair(), key_pair()
    puts = {**files.applied.files, **access(visitor=visitor, host_key=host_key)}
    puts |= _media(domain_xml, qemu, shell_program, linux, script, run)
    put(disk, puts, scratch=run.path / "put", removed=applied.removed)
    if root:
        identify(disk, root, scratch=run.path / "put")
    identity, known_hosts = run.path / "identity", run.path / "known_hosts"
    identity.write_bytes(visitor.private)
    identity.chmod(0o600)
    return Prepared(
        disk=disk,
        boot=_direct(chosen, files, run) if fast else _loader(bootloader, files, firmware, run),
        entry=chosen,
        identity=identity,
        known_hosts=known_hosts,
        host_key=host_key,
    )


def _chosen(found: Sequence[Entry], bootloader: str, entry: str) -> Entry:
    wanted = [one for one in found if one.identifier == entry] if entry else found
    if not wanted:
        raise HostDoesNotBoot(f"{bootloader} has no entry {entry or 'that boots Linux'}")
    return wanted[0]


def _direct(entry: Entry, files: Files, run: RunDirectory) -> tuple[str, ...]:
    sources = [files.source(path) for path in (entry.kernel, *entry.initrds)]
    for path, source in zip((entry.kernel, *entry.initrds), sources, strict=True):
        if source is None:
            raise HostDoesNotBoot(f"the entry {entry.title!r} names {path}, which is not there")
    if sources[0] and entry.kernel.endswith(unified.SUFFIX):
        sources = [*unified.unpack(sources[0], run.path)]
    initrd = ("-initrd", str(sources[1])) if len(sources) > 1 else ()
    # GRUB's entries have the lab's own already.
    own = "" if LAB_PARAMETERS in entry.parameters else f" {LAB_PARAMETERS}"
    return ("-kernel", str(sources[0]), *initrd, "-append", f"{entry.parameters}{own}")


def _loader(bootloader: str, files: Files, firmware: tuple[Path, Path], run: RunDirectory) -> tuple[str, ...]:
    """OVMF with variables of its own, and the boot loader's disk."""
    code, variables = firmware
    own = run.path / "l1-vars.fd"
    shutil.copyfile(variables, own)
    return (
        *("-blockdev", f"driver=file,filename={code},node-name=code,read-only=on"),
        *("-blockdev", f"driver=file,filename={own.name},node-name=vars"),
        *("-machine", "pflash0=code,pflash1=vars"),
        *disk_of(bootloader, files, run),
    )


def _media(
    domain_xml: bytes,
    qemu: Qemu,
    shell_program: Path,
    linux: medium.Linux | None,
    script: payload.Script,
    run: RunDirectory,
) -> dict[str, Put]:
    """Stand-ins at the domain's own paths: the payload for what boots first, empty media for the rest."""
    found: dict[str, Put] = {}
    media, ports = domain.media(domain_xml), domain.root_ports(domain_xml)
    for number, one in enumerate(media):
        image, disk = run.path / f"medium{number}", run.path / f"medium{number}.fat"
        files: dict[str, Path] = {}
        if linux and number == 0:
            buses = domain.assigned_buses(domain_xml)
            files |= medium.boot_files(shell_program, ports, buses, linux, disk)
        if linux and number == medium.place(media):
            files |= medium.linux_files(linux, disk)
        if files:
            medium.write(files, disk)
        elif number == 0:
            payload.fat_image(shell_program, script(ports), disk)
        else:
            disk.write_bytes(bytes(1 << 20))
        if number == 0 and one.cdrom:
            payload.boot_iso(disk, image)
        else:
            disk.rename(image)
        if one.format != "raw":
            converted = image.with_suffix(f".{one.format}")
            _qemu_img(qemu, ["convert", "-f", "raw", "-O", one.format, str(image), str(converted)])
            image = converted
        found[one.path] = Put(data=image.read_bytes())
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


@contextlib.contextmanager
def boot(
    prepared: Prepared,
    *,
    board: Board,
    qemu: Qemu,
    accelerator: Accelerator,
    cpu_vendor: str,
    run: RunDirectory,
    progress: Callable[[str], None],
    more: Sequence[str] = (),
) -> Iterator[Host]:
    """Boot L1 and log in; L1 and the servers of its emulated functions end with the context.

    `more` are arguments for what L1 has beside the board and its disks.

    Raises HostDoesNotBoot where L1 itself says that it cannot go on, LabFault for everything else.
    """
    arguments = [
        *hardware(board, accelerator=accelerator.l1, cpu_vendor=cpu_vendor),
        *("-blockdev", f"driver=file,filename={prepared.disk.name},node-name=disk,cache.no-flush=on"),
        *("-device", f"virtio-blk-pci,drive=disk,addr={DISK_SLOT:x}.0,multifunction=on,bootindex=1,romfile="),
        *("-netdev", "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"),
        *("-device", f"virtio-net-pci,netdev=net,addr={NETWORK_SLOT:x}.0,romfile="),
        *prepared.boot,
        *more,
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
    said, quiet_since = 0, time.monotonic()
    while not (text := _console(vm)).count(READY):
        if server.poll() is not None:
            raise LabFault("the server of the emulated functions has ended")
        now = time.monotonic()
        grown = len(text) != said
        if grown:
            said, quiet_since = len(text), now
        if cause := console.fault(text):
            raise LabFault(cause)
        stuck = console.grub_error(text) if now - quiet_since > _GRUB_SECONDS else ""
        # The whole of a long console takes its time to read, and the processor is busy.
        if cause := (grown and console.failure(text)) or (stuck and f"GRUB stopped: {stuck}"):
            time.sleep(_LAST_WORDS)
            raise HostDoesNotBoot(f"{cause}\nthe end of its console:\n{console.last_lines(_console(vm))}")
        vm.check()
        if now > deadline:
            end = console.last_lines(text)
            raise LabFault(f"the host was not up in time; the end of its console:\n{end}")
        time.sleep(_LOOK_SECONDS)
    return _connect(port, prepared)


def _console(vm: Machine) -> str:
    return vm.serial.read_text(errors="replace") if vm.serial.exists() else ""


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
