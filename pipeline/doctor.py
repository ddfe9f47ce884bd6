"""What this machine can do, and what that means for a run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.errors import LabFault
from pipeline.facts.version import parts
from pipeline.lab import accel, cache, kernel_proof, toolchain
from pipeline.lab.image import debian

TOOLS = {
    "mmdebstrap": "prepares QEMU and the L1 image",
    "mke2fs": "makes L1's file system",
    "debugfs": "puts the rendered files into L1",
    "mformat": "makes the guest's boot medium",
    "setpriv": "ends what a run started when the run is killed",
    "unshare": "lets the host's tools work on its files alone",
    "bash": "reads mkinitcpio.conf",
    "virt-install": "is the floor of bench",
}
_NEEDED_GIB = 5


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing about the machine and what follows from it."""

    subject: str
    found: str
    means: str


def examine() -> Iterator[Fact]:
    """Look at the machine; starts QEMU for a moment where there is one, prepares nothing."""
    system = toolchain.installed()
    prepared = (cache.root() / "qemu" / toolchain.hermetic_name()).is_dir()
    new = bool(system and parts(system.version) >= parts(toolchain.OLDEST))
    yield Fact(
        "QEMU of the system",
        f"{system.version} ({system.argv[0]})" if system else "none",
        "used by verify" if new else f"too old or missing (needs {toolchain.OLDEST}): verify uses its own",
    )
    yield Fact(
        "QEMU of the cache",
        "prepared" if prepared else "not there yet",
        "ready" if prepared else "the first verify prepares it (half a minute, 200 MB)",
    )
    yield Fact(
        "L1 image",
        "built" if debian.cached() else "not there yet",
        "ready" if debian.cached() else "the first verify builds it (a minute or two, 1.3 GB)",
    )
    yield _kvm(prepared or new)
    yield Fact(
        "nested KVM",
        "on" if accel.nested() else "off",
        "the guest in the host can use KVM too" if accel.nested() else "the guest in the host runs under tcg",
    )
    yield _firmware()
    for tool, purpose in TOOLS.items():
        path = shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        yield Fact(tool, path or "missing", purpose)
    yield Fact("libvirt", _libvirt(), "checks the domain XML in build")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    enough = memory >= _NEEDED_GIB
    yield Fact("memory", f"{memory} GiB", "enough" if enough else f"verify takes up to {_NEEDED_GIB} GiB")
    folder = cache.root()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free >> 30
    yield Fact(
        "disk for the cache", f"{free} GiB free", "enough" if free >= 4 else "verify needs about 4 GiB"
    )
    yield Fact("pytest-testinfra", metadata.version("pytest-testinfra"), "checks the booted host")


def _kvm(have_qemu: bool) -> Fact:
    if not Path("/dev/kvm").exists():
        return Fact("KVM", "there is no /dev/kvm", "verify runs under tcg: minutes instead of seconds")
    if not (have_qemu and debian.cached()):
        return Fact("KVM", "/dev/kvm is there", "not proven yet: the first verify boots a kernel on it")
    try:
        problem = kernel_proof.kvm_problem(toolchain.find(lambda _: None), debian.image(lambda _: None))
    except LabFault as error:
        problem = error.message
    if problem:
        return Fact("KVM", problem, "verify runs under tcg: minutes instead of seconds")
    return Fact("KVM", "a kernel ran on it", "verify uses it")


def _firmware() -> Fact:
    known = (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
    )
    found = [path for path in known if Path(path).exists()]
    return Fact("OVMF of the system", ", ".join(found) or "none", "not needed: L1 has its own")


def _libvirt() -> str:
    try:
        done = subprocess.run(
            ["pkg-config", "--modversion", "libvirt"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def show(console: Console) -> None:
    """Print it as a table."""
    table = Table("", "found", "means", show_edge=False)
    for fact in examine():
        table.add_row(*map(escape, (fact.subject, fact.found, fact.means)))
    console.print(table)
