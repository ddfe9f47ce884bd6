"""Proves KVM by booting a kernel on it to its end: the same boot is the floor of the benchmark.

A boot sector is not enough: software back ends run one, and then fail on the first instruction of a modern
kernel that they cannot emulate ("KVM internal error. Suberror: 1", ran).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab import cache
from pipeline.lab.image import HostImage
from pipeline.lab.toolchain import Qemu

RAN = "DRYBOOT-RAN"
_KVM_SECONDS = 30
_TOO_LONG = "it did not come to its end"


def kvm_problem(qemu: Qemu, image: HostImage) -> str:
    """Why KVM does not do, in one line; empty where a kernel ran to its end on it."""
    device = Path("/dev/kvm")
    if not device.exists():
        return "there is no /dev/kvm"
    try:
        device.open("r+b", buffering=0).close()
    except OSError as error:
        return f"/dev/kvm cannot be opened: {error.strerror}"
    plain = ["-accel", "kvm", "-machine", "q35", "-cpu", "host", "-m", "512", "-smp", "2"]
    plain += ["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-no-reboot"]
    problem = boot_tiny(qemu, image, plain, seconds=_KVM_SECONDS)
    return f"/dev/kvm is there, but a kernel does not run on it ({problem})" if problem else ""


def remembered_kvm_problem(qemu: Qemu, image: HostImage) -> str:
    """The same, proven once for each start of this machine, QEMU and kernel; what took too long is not remembered."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    folder = cache.root() / "kvm"
    known = folder / cache.key(boot, qemu.argv, qemu.version, image.name)
    if known.is_file():
        return known.read_text()
    problem = kvm_problem(qemu, image)
    if _TOO_LONG not in problem:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in folder.iterdir():
            old.unlink(missing_ok=True)
        fresh = folder / f".{os.getpid()}"
        fresh.write_text(problem)
        fresh.rename(known)
    return problem


def boot_tiny(
    qemu: Qemu, image: HostImage, hardware: Sequence[str], *, seconds: float, folder: Path | None = None
) -> str:
    """Boot L1's kernel on `hardware` with an initramfs that powers off; what went wrong, empty if nothing did.

    QEMU runs in `folder`, where relative paths of `hardware` are looked up.
    """
    argv = [
        *qemu.argv,
        *hardware,
        *("-serial", "stdio", "-kernel", str(image.kernel), "-initrd", str(image.tiny)),
        *("-append", "console=ttyS0 quiet mitigations=off no_timer_check panic=-1"),
    ]
    try:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *argv],
            cwd=folder,
            env=qemu.merged_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise LabFault(f"cannot start QEMU: {error}") from error
    with process:
        try:
            return _watch(process, seconds)
        finally:
            process.kill()


def _watch(process: subprocess.Popen[bytes], seconds: float) -> str:
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    deadline = time.monotonic() + seconds
    text = ""
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        text += (process.stdout.read() or b"").decode(errors="replace")
        if "KVM internal error" in text:
            return "KVM internal error"
        if ended:
            if RAN in text and process.returncode == 0:
                return ""
            said = [line for line in text.splitlines() if "qemu-system" in line and "warning" not in line]
            return (
                said[-1].split("qemu-system-x86_64: ")[-1]
                if said
                else f"QEMU ended with {process.returncode}"
            )
        time.sleep(0.05)
    return f"{_TOO_LONG} in {seconds:.0f} s"
