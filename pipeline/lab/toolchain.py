"""The lab's own QEMU: one of the system that is new enough, else a hermetic one in the cache.

The emulated functions need `vfio-user-pci`, which QEMU has since 10.1.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import BadInput, LabFault
from pipeline.facts.version import parts
from pipeline.lab import cache
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import lock_hooks, mirror, mmdebstrap, read_lock

OLDEST = "10.1"
SUITES = ("trixie", "trixie-backports")
PACKAGES = ("qemu-system-x86", "qemu-utils", "seabios", "efi-shell-x64", "ovmf", "ipxe-qemu")
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_BINARY = "usr/bin/qemu-system-x86_64"
_OVMF = "usr/share/OVMF"
_SHELL = "usr/share/efi-shell-x64/shellx64.efi"


@dataclass(frozen=True, kw_only=True, slots=True)
class Qemu:
    """A QEMU that can be started: command line prefix, environment, version and where it comes from."""

    argv: tuple[str, ...]
    version: str
    origin: str
    environment: Mapping[str, str] = field(default_factory=dict)
    tree: Path | None = None

    def merged_environment(self) -> dict[str, str]:
        """The environment to start it with."""
        return {**os.environ, **self.environment}


def installed(name: str = "qemu-system-x86_64") -> Qemu | None:
    """The system's QEMU whatever its version, None where there is none that runs."""
    path = shutil.which(name)
    if path is None:
        return None
    try:
        return _started((path,), f"{path} of the system")
    except LabFault:
        return None


def find(progress: Progress) -> Qemu:
    """A QEMU >= 10.1: DRYBOOT_QEMU, the system's, else the hermetic one, prepared if need be.

    Raises BadInput where DRYBOOT_QEMU does not do, LabFault where none can be had.
    """
    chosen = os.environ.get("DRYBOOT_QEMU")
    if chosen:
        try:
            qemu = _started((chosen,), "DRYBOOT_QEMU")
        except LabFault as error:
            raise BadInput(f"DRYBOOT_QEMU={chosen} does not run: {error.message}") from error
        if parts(qemu.version) < parts(OLDEST):
            raise BadInput(
                f"DRYBOOT_QEMU is QEMU {qemu.version}; the lab needs {OLDEST} or newer (vfio-user-pci)"
            )
        return qemu
    system = installed()
    if system and parts(system.version) >= parts(OLDEST):
        return system
    return hermetic(progress)


def hermetic(progress: Progress) -> Qemu:
    """Debian's QEMU unpacked in the cache and started through its own loader; the system stays untouched."""
    tree = cache.prepared("qemu", hermetic_name(), lambda fresh: _prepare(fresh, progress))
    lock = json.loads((tree / "lock.json").read_text())
    for name, digest in lock["files"].items():
        if _sha256(tree / "root" / name) != digest:
            raise LabFault(
                f"{tree / 'root' / name} is not what was unpacked", hint=f"remove {tree} and run again"
            )
    return _in_tree(tree / "root", lock["version"])


def hermetic_name() -> str:
    """The cache's name for the hermetic QEMU; changes with what it is made of."""
    return cache.key("qemu", 1, SUITES, PACKAGES, mirror())


def efi_shell(progress: Progress) -> Path:
    """The UEFI shell that L2 boots: of the hermetic tree."""
    tree = hermetic(progress).tree
    assert tree is not None
    return tree / _SHELL


def firmware(progress: Progress) -> tuple[Path, Path]:
    """OVMF for L1, code and variables: of the hermetic tree."""
    tree = hermetic(progress).tree
    assert tree is not None
    return tree / _OVMF / "OVMF_CODE_4M.fd", tree / _OVMF / "OVMF_VARS_4M.fd"


def _prepare(fresh: Path, progress: Progress) -> None:
    progress("preparing QEMU from Debian's packages (about 20 s, 200 MB)")
    listed = fresh / "packages"
    mmdebstrap(
        fresh / "root",
        suites=SUITES,
        packages=PACKAGES,
        release=SUITES[-1],
        variant="extract",
        progress=progress,
        hooks=lock_hooks(listed),
    )
    qemu = _in_tree(fresh / "root", "0")
    version = _version(qemu)
    packages = read_lock(listed)
    listed.unlink()
    files = {name: _sha256(fresh / "root" / name) for name in (_BINARY, _SHELL)}
    lock = {
        "version": version,
        "files": files,
        "packages": [[p.name, p.version, p.architecture, p.sha256] for p in packages],
    }
    (fresh / "lock.json").write_text(json.dumps(lock, indent=1) + "\n")


def _in_tree(root: Path, version: str) -> Qemu:
    libraries = root / _LIBRARIES
    return Qemu(
        argv=(
            str(libraries / "ld-linux-x86-64.so.2"),
            "--library-path",
            str(libraries),
            str(root / _BINARY),
            "-L",
            str(root / "usr/share/qemu"),
            "-L",
            str(root / "usr/share/seabios"),
            "-L",
            str(root / "usr/lib/ipxe/qemu"),
        ),
        version=version,
        origin="Debian's packages, unpacked in the cache",
        environment={"QEMU_MODULE_DIR": str(libraries / "qemu")},
        tree=root,
    )


def _started(argv: tuple[str, ...], origin: str) -> Qemu:
    qemu = Qemu(argv=argv, version="0", origin=origin)
    return Qemu(argv=argv, version=_version(qemu), origin=origin)


def _version(qemu: Qemu) -> str:
    try:
        done = subprocess.run(
            [*qemu.argv, "--version"],
            env=qemu.merged_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(str(error)) from error
    found = re.search(r"version (\d+\.\d+)", done.stdout)
    if done.returncode or not found:
        raise LabFault(done.stderr.strip() or f"{qemu.argv[0]} --version ended with {done.returncode}")
    return found[1]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise LabFault(f"cannot read {path}: {error.strerror}") from error
