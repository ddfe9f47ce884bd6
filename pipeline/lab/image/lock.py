"""The lock of an image: its packages as canonical text, one a line, the same bytes for the same packages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.errors import BadInput, Place
from pipeline.lab.debootstrap import Package

_HEAD = "# dryboot lock 1: name version architecture sha256"
_LINE = re.compile(
    r"([A-Za-z0-9@_+][A-Za-z0-9@._+-]*) ([A-Za-z0-9.+~:_-]+) ([a-z0-9_]+) ([0-9a-f]{64})", re.ASCII
)


class Refused(BadInput):
    """The packages are not those of the lock."""


def text(packages: Iterable[Package]) -> str:
    """The canonical text: sorted, each package once."""
    lines = [f"{p.name} {p.version} {p.architecture} {p.sha256}" for p in sorted(set(packages))]
    return "\n".join([_HEAD, *lines]) + "\n"


def write(path: Path, packages: Iterable[Package]) -> None:
    """Write the lock to `path`, whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text(packages), encoding="utf-8")
    fresh.replace(path)


def read(path: Path) -> tuple[Package, ...]:
    """The packages of the lock at `path`, sorted. Raises BadInput with the line for anything but a lock."""
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except OSError as error:
        raise BadInput(f"the lock cannot be read: {error.strerror}", place=Place(file=str(path))) from error
    except UnicodeDecodeError as error:
        raise BadInput("a lock is UTF-8 text", place=Place(file=str(path))) from error
    if lines[0] != _HEAD:
        raise BadInput(
            "this is no lock", place=Place(file=str(path), line=1), hint=f"its first line is {_HEAD!r}"
        )
    if lines[-1]:
        raise BadInput("the lock's last line is cut short", place=Place(file=str(path), line=len(lines)))
    found: dict[tuple[str, str], Package] = {}
    for number, line in enumerate(lines[1:-1], start=2):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadInput(
                "a line of a lock is name, version, architecture and sha256 with single spaces",
                place=Place(file=str(path), line=number),
            )
        package = Package(name=match[1], version=match[2], architecture=match[3], sha256=match[4])
        if (package.name, package.architecture) in found:
            raise BadInput(f"{package.name} is there twice", place=Place(file=str(path), line=number))
        found[package.name, package.architecture] = package
    return tuple(sorted(found.values()))


def differences(locked: Iterable[Package], present: Iterable[Package]) -> tuple[str, ...]:
    """What differs, one sentence a package, sorted by name; nothing where both are the same."""
    before = {(package.name, package.architecture): package for package in locked}
    after = {(package.name, package.architecture): package for package in present}
    return tuple(
        _difference(before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    )


def check(locked: Sequence[Package], present: Sequence[Package], *, path: Path) -> None:
    """Raise Refused with every difference where `present` is not what the lock at `path` says."""
    if found := differences(locked, present):
        raise Refused(
            "the image is not what the lock says:\n" + "\n".join(f"  {line}" for line in found),
            place=Place(file=str(path)),
            hint="take a mirror that still has the locked versions, or make a new lock",
        )


def _difference(before: Package | None, after: Package | None) -> str:
    if after is None:
        assert before is not None
        return f"{before.name} {before.version} {before.architecture} is missing"
    if before is None:
        return f"{after.name} {after.version} {after.architecture} is not in the lock"
    if before.version != after.version:
        return f"{after.name} {after.architecture} is {after.version}, the lock has {before.version}"
    return f"{after.name} {after.version} {after.architecture} has other content: sha256 {after.sha256}"
