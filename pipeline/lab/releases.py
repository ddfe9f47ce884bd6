"""The store of QEMU releases: each a QEMU that runs here, with its OVMF and its Q35 machine types.

A release is one of the known ones (packages of a Debian suite, unpacked in the cache), one that was added by its
path, or `installed`: the system's own.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from pipeline.errors import BadInput, LabFault
from pipeline.facts.qemu import PackagedRelease, packaged
from pipeline.lab import abilities, cache, firmware, run_directory, toolchain
from pipeline.lab.abilities import Abilities, MachineType
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import Package
from pipeline.lab.digest import sha256
from pipeline.lab.firmware import Firmware
from pipeline.lab.toolchain import Qemu, Recipe

INSTALLED = "installed"
_BINARY = "qemu-system-x86_64"
_PLACES = ("usr/bin", "bin", "usr/local/bin", "")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A QEMU and its firmware. `digest` is of both; `folder` is its own in the cache, for what is derived from it.

    `packages` are those that it was unpacked from, none for one that was not.
    """

    name: str
    qemu: Qemu
    firmware: Firmware
    digest: str
    folder: Path
    packages: tuple[Package, ...] = ()

    def abilities(self) -> Abilities:
        """What it can do; it is asked once. Raises LabFault where it does not answer."""
        kept = self.folder / "abilities.json"
        try:
            return abilities.read(kept.read_text())
        except (OSError, ValueError, LookupError, TypeError):
            found = abilities.ask(self.qemu)
        _write(kept, found.text())
        return found

    def machines(self) -> tuple[MachineType, ...]:
        """Its versioned Q35 machine types, oldest first."""
        return self.abilities().machines

    def versioned(self, machine: str) -> str:
        """The machine type that an alias such as `q35` means here; any other name stays."""
        return next((one.name for one in self.machines() if one.alias == machine), machine)

    def compat(self, machine: str) -> Mapping[str, str] | None:
        """The compat properties of a machine type or of what an alias means, None where this QEMU does not tell."""
        return next((one.compat for one in self.machines() if machine in {one.name, one.alias}), None)

    def has(self, device: str) -> bool:
        """Whether it has the device model `device`, such as vfio-user-pci."""
        return device in self.abilities().devices


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A release as `invoke qemu --list` shows it; `release` is None for one that is not here, `why` says why."""

    name: str
    origin: str
    release: Release | None
    size: int
    why: str = ""


def names() -> tuple[str, ...]:
    """Every name that `find` knows: the known releases, those that were added, `installed`."""
    return (*(one.name for one in packaged()), *_added(), INSTALLED)


def find(wanted: Sequence[str], progress: Progress) -> tuple[Release, ...]:
    """The releases of these names, prepared if need be, each once; without names the installed one.

    Raises BadInput for a name that is not known and where QEMU is not installed, LabFault where one cannot be had.
    """
    chosen = tuple(dict.fromkeys(wanted)) or (INSTALLED,)
    for name in chosen:
        if name not in names():
            raise BadInput(
                f"there is no QEMU release {name!r}",
                hint=f"known are {', '.join(names())}; others come with `invoke qemu --add NAME=PATH`",
            )
    return tuple(_find(name, progress) for name in chosen)


def _find(name: str, progress: Progress) -> Release:
    known = {one.name: one for one in packaged()}
    if name in known:
        return _packaged(known[name], progress)
    if name == INSTALLED:
        qemu = toolchain.installed()
        if qemu is None:
            hint = f"install qemu-system-x86, or --qemu {packaged()[-1].name} takes one that is unpacked in the cache"
            raise BadInput("no QEMU is installed that runs", hint=hint)
        return _release(INSTALLED, qemu, Path(qemu.argv[0]), (Path("/"),), progress)
    path = _added()[name]
    try:
        return _at(name, path, progress)
    except LabFault as error:
        hint = f"`invoke qemu --remove {name}`, or add it again"
        raise BadInput(f"QEMU {name} at {path}: {error.message}", hint=hint) from error


def add(text: str, *, base: Path, progress: Progress) -> Release:
    """Keep the QEMU of `NAME=PATH` (a binary, a prefix or a whole root directory) under its name.

    Raises BadInput where the text, the name or the QEMU does not do.
    """
    name, separator, path = text.partition("=")
    if not separator or not path:
        raise BadInput(f"--add {text}: not NAME=PATH", hint="such as --add mine=/opt/qemu")
    if not _NAME.fullmatch(name):
        raise BadInput(f"--add {text}: the name is to be letters, digits, dots and dashes, at most 40")
    if name == INSTALLED or name in {one.name for one in packaged()}:
        raise BadInput(f"--add {text}: {name} is a release already", hint="give it another name")
    place = (base / path).absolute()
    if not place.exists():
        raise BadInput(f"--add {text}: there is nothing at {place}")
    try:
        release = _at(name, place, progress)
        machines = release.machines()
    except LabFault as error:
        raise BadInput(f"--add {text}: this QEMU does not do: {error.message}") from error
    if not machines:
        raise BadInput(f"--add {text}: this QEMU has no versioned Q35 machine type")
    _write(_added_file(name), json.dumps({"path": str(place)}) + "\n")
    return release


def remove(name: str) -> None:
    """Take what the cache has of a release away; one that was added is forgotten, a known one prepared again.

    Raises BadInput for a name that is not known, and while a run goes on that may need it.
    """
    if name == INSTALLED or name not in names():
        hint = f"one of {', '.join(one for one in names() if one != INSTALLED)}"
        raise BadInput(f"there is no QEMU release {name!r} to remove", hint=hint)
    if run_directory.active(cache.runs()):
        raise BadInput(f"a run goes on, which may need QEMU {name}", hint="wait for its end")
    _added_file(name).unlink(missing_ok=True)
    for one in packaged():
        if one.name == name:
            tree = cache.root() / "qemu" / _recipe(one).name
            tree.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(tree.parent / f".{tree.name}.lock"):
                shutil.rmtree(tree, ignore_errors=True)
    for folder in _folder().glob(f"{name}-*"):
        if re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{16}}", folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def listing(progress: Progress) -> tuple[Listed, ...]:
    """Every release, without preparing one that is not here."""
    found = []
    for one in packaged():
        origin = f"Debian {one.suites[-1]}"
        tree = cache.root() / "qemu" / _recipe(one).name
        if tree.is_dir():
            found.append(_listed(one.name, origin, tree, progress))
        else:
            found.append(Listed(name=one.name, origin=origin, release=None, size=0, why="not prepared"))
    found += [_listed(name, str(path), None, progress) for name, path in sorted(_added().items())]
    return (*found, _listed(INSTALLED, "the system", None, progress))


def _listed(name: str, origin: str, tree: Path | None, progress: Progress) -> Listed:
    try:
        release = _find(name, progress)
        release.abilities()
    except (BadInput, LabFault) as error:
        return Listed(name=name, origin=origin, release=None, size=0, why=error.message)
    size = sum(path.lstat().st_size for path in tree.rglob("*")) if tree else 0
    return Listed(name=name, origin=origin, release=release, size=size)


def _recipe(one: PackagedRelease) -> Recipe:
    return Recipe(suites=one.suites, packages=one.packages)


def _packaged(one: PackagedRelease, progress: Progress) -> Release:
    recipe = _recipe(one)
    qemu = toolchain.hermetic(progress, recipe)
    assert qemu.tree is not None
    packages = toolchain.packages(recipe)
    release = _release(one.name, qemu, qemu.tree / "usr/bin" / _BINARY, (qemu.tree,), progress)
    version = next((package.version for package in packages if package.name == "ovmf"), "")
    return replace(release, packages=packages, firmware=replace(release.firmware, version=version))


def _at(name: str, path: Path, progress: Progress) -> Release:
    """The QEMU at `path`. Raises LabFault where there is none that runs."""
    if path.is_file():
        qemu = toolchain.started((str(path),), str(path))
        return _release(name, qemu, path, tuple(path.parents)[:3], progress)
    binary = next(
        (found for place in _PLACES if (found := path / place / _BINARY).is_file()),
        None,
    )
    if binary is None:
        raise LabFault(f"{path} has no {_BINARY}, nor have its {', '.join(filter(None, _PLACES))}")
    try:
        inside = toolchain.in_tree(path, binary=str(binary.relative_to(path)), origin=str(path))
    except LabFault:  # it has no loader of its own: a prefix, which the system's loader starts
        qemu = toolchain.started((str(binary),), str(path))
    else:
        qemu = toolchain.versioned(inside)
    return _release(name, qemu, binary, (path, binary.parent.parent), progress)


def _release(name: str, qemu: Qemu, binary: Path, roots: Sequence[Path], progress: Progress) -> Release:
    """With the firmware of the first of `roots` that has one, else with the lab's own."""
    found = next((one for root in roots if (one := firmware.find(root))), None)
    if found is None:
        own = _packaged(packaged()[-1], progress).firmware
        found = replace(own, version=f"{own.version} (the lab's own: none is beside this QEMU)".lstrip())
    try:
        both = [sha256(binary), found.digest]
    except OSError as error:
        raise LabFault(f"cannot read {error.filename}: {error.strerror}") from error
    digest = hashlib.sha256("".join(both).encode()).hexdigest()
    folder = _folder() / f"{name}-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Release(name=name, qemu=qemu, firmware=found, digest=digest, folder=folder)


def _folder() -> Path:
    return cache.root() / "releases"


def _added_file(name: str) -> Path:
    return _folder() / "added" / f"{name}.json"


def _added() -> dict[str, Path]:
    """The releases that were added, by their names."""
    found = {}
    for file in sorted((_folder() / "added").glob("*.json")):
        try:
            found[file.stem] = Path(str(json.loads(file.read_text())["path"]))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise LabFault(
                f"cannot read {file}: {error}", hint="remove it and add the release again"
            ) from error
    return found


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(path.with_name(f".{path.name}.lock")):
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text)
        fresh.replace(path)
