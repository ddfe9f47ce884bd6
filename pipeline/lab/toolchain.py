"""The lab's own QEMU: one of the system that is new enough, else a hermetic one in the cache.

The emulated functions need `vfio-user-pci`, which QEMU has since 10.1.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.errors import BadInput, LabFault
from pipeline.facts.version import parts
from pipeline.lab import cache
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import Package, mirror, unpack, write_lock
from pipeline.lab.digest import sha256

OLDEST = "10.1"
SUITES = ("trixie", "trixie-backports")
PACKAGES = ("qemu-system-x86", "qemu-utils", "seabios", "efi-shell-x64", "ovmf", "ipxe-qemu")
_BINARY = "usr/bin/qemu-system-x86_64"
_OVMF = "usr/share/OVMF"
_SHELL = "usr/share/efi-shell-x64/shellx64.efi"
# Where a tree may have its libraries, loader and data: Debian's (before and after /usr was merged), Arch's.
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib64", "usr/lib")
_LOADER = "ld-linux-x86-64.so.2"
_DATA = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What of Debian a hermetic QEMU is made of; of the last suite where several have a package."""

    suites: tuple[str, ...]
    packages: tuple[str, ...]

    @property
    def name(self) -> str:
        """The cache's name for it; changes with what it is made of."""
        return cache.key("qemu", 1, self.suites, self.packages, mirror())


OWN = Recipe(suites=SUITES, packages=PACKAGES)


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

    def script(self) -> str:
        """A shell script that starts it, in the environment that it needs."""
        variables = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in self.environment.items())
        return f'#!/bin/sh\n{variables}exec {shlex.join(self.argv)} "$@"\n'

    def moved(self, place: Path) -> Qemu:
        """The same with its tree at `place`, as it is on a machine that has the tree there; it has to have one."""
        assert self.tree is not None

        def there(text: str) -> str:
            return text.replace(str(self.tree), str(place))

        return replace(
            self,
            argv=tuple(map(there, self.argv)),
            environment={key: there(value) for key, value in self.environment.items()},
            tree=place,
        )


def installed(name: str = "qemu-system-x86_64") -> Qemu | None:
    """The system's QEMU whatever its version, None where there is none that runs."""
    path = shutil.which(name)
    if path is None:
        return None
    try:
        return started((path,), f"{path} of the system")
    except LabFault:
        return None


def find(progress: Progress) -> Qemu:
    """A QEMU >= 10.1: DRYBOOT_QEMU, the system's, else the hermetic one, prepared if need be.

    Raises BadInput where DRYBOOT_QEMU does not do, LabFault where none can be had.
    """
    chosen = os.environ.get("DRYBOOT_QEMU")
    if chosen:
        try:
            qemu = started((chosen,), "DRYBOOT_QEMU")
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


def hermetic(progress: Progress, recipe: Recipe = OWN) -> Qemu:
    """Debian's QEMU unpacked in the cache and started through its own loader; the system stays untouched.

    Raises LabFault where what was unpacked is no longer there as it was.
    """
    tree = cache.prepared("qemu", recipe.name, lambda fresh: _prepare(fresh, recipe, progress))
    lock = json.loads((tree / "lock.json").read_text())
    for name, digest in lock["files"].items():
        if _sha256(tree / "root" / name) != digest:
            raise LabFault(
                f"{tree / 'root' / name} is not what was unpacked", hint=f"remove {tree} and run again"
            )
    return in_tree(tree / "root", lock["version"])


def hermetic_name() -> str:
    """The cache's name for the lab's own hermetic QEMU."""
    return OWN.name


def packages(recipe: Recipe) -> tuple[Package, ...]:
    """The packages that a prepared hermetic QEMU was made of; none where it is not prepared."""
    lock = cache.root() / "qemu" / recipe.name / "lock.json"
    if not lock.is_file():
        return ()
    listed = json.loads(lock.read_text())["packages"]
    return tuple(Package(name=n, version=v, architecture=a, sha256=s) for n, v, a, s in listed)


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


def _prepare(fresh: Path, recipe: Recipe, progress: Progress) -> None:
    progress(f"preparing QEMU from Debian's packages of {recipe.suites[-1]} (about 30 s, 200 MB)")
    root = fresh / "root"
    packages = unpack(
        root, suites=recipe.suites, packages=recipe.packages, release=recipe.suites[-1], progress=progress
    )
    version = _version(in_tree(root, "0"))
    names = [_BINARY, *(str(path.relative_to(root)) for path in (root / _OVMF).glob("*.fd")), _SHELL]
    files = {name: _sha256(root / name) for name in sorted(names) if (root / name).is_file()}
    write_lock(fresh, packages, version=version, files=files)


def in_tree(root: Path, version: str = "0", *, binary: str = _BINARY, origin: str = "") -> Qemu:
    """The QEMU of a whole root directory, started through that directory's own loader.

    Raises LabFault where it has no loader.
    """
    libraries = [str(root / name) for name in _LIBRARIES if (root / name).is_dir()]
    loaders = [path for name in libraries if (path := Path(name) / _LOADER).is_file()]
    if not loaders:
        raise LabFault(f"{root} has no {_LOADER}")
    data = [str(root / name) for name in _DATA if (root / name).is_dir()]
    modules = next((path for name in libraries if (path := Path(name) / "qemu").is_dir()), None)
    return Qemu(
        argv=(
            str(loaders[0]),
            "--library-path",
            ":".join(libraries),
            str(root / binary),
            *(part for folder in data for part in ("-L", folder)),
        ),
        version=version,
        origin=origin or "Debian's packages, unpacked in the cache",
        environment={"QEMU_MODULE_DIR": str(modules)} if modules else {},
        tree=root,
    )


def started(argv: tuple[str, ...], origin: str) -> Qemu:
    """A QEMU by its command line, with the version that it says. Raises LabFault where it does not run."""
    return versioned(Qemu(argv=argv, version="0", origin=origin))


def versioned(qemu: Qemu) -> Qemu:
    """The same with the version that it says. Raises LabFault where it does not run."""
    return replace(qemu, version=_version(qemu))


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
        return sha256(path)
    except OSError as error:
        raise LabFault(f"cannot read {path}: {error.strerror}") from error
