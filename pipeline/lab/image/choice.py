"""Which image stands for the scenario's host: its own distribution where that can be had, else the stand-in.

The cache decides first: an image that was built is used without asking anyone, and what could not be had is not
asked for again for some hours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pipeline.errors import BadInput, DrybootError
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import Package
from pipeline.lab.image import HostImage, debian, lock, mirror, pacman, rootfs
from pipeline.lab.image.mirror import Distribution
from pipeline.lab.image.pacman import Pacman
from pipeline.plan.model import HostPlan

_KINDS = "auto, debian, manjaro, arch (manjaro:BRANCH, arch:BRANCH) or rootfs:PATH"
_PACMAN: tuple[Distribution, ...] = get_args(Distribution)
# Packages of the tools that a scenario may name beside the distribution's default.
_EXTRA = {"dracut": ("dracut",), "uki": ("systemd-ukify",)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What the user asks for. `image`: "auto", "debian", "rootfs" or a distribution of pacman's.

    `branch` and `mirror` only go with the latter; `tree` is what "rootfs" brings; `locked` is the lock that the
    image has to be.
    """

    image: str = "auto"
    branch: str = "stable"
    mirror: str = ""
    keyring: Path | None = None
    tree: Path | None = None
    locked: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The image, and why it is not of the scenario's distribution, where it is not."""

    image: HostImage
    why: str = ""


def wanted(
    text: str = "",
    *,
    mirror: str = "",
    keyring: Path | None = None,
    locked: Path | None = None,
    base: Path = Path(),
) -> Wanted:
    """Read the value of --image; paths are below `base`. Raises BadInput with what is allowed."""
    kind, _, rest = (text or "auto").partition(":")
    if kind == "rootfs":
        if not rest or mirror or keyring:
            raise BadInput(
                "rootfs wants a path, and no mirror or keyring",
                hint="--image rootfs:PATH, a directory, tar archive or OCI layout",
            )
        return Wanted(image=kind, tree=base / rest, locked=locked)
    if kind not in {"auto", "debian", *_PACMAN} or (rest and kind not in _PACMAN) or text.endswith(":"):
        raise BadInput(f"there is no image {text!r}", hint=f"--image {_KINDS}")
    if kind == "debian" and (mirror or keyring):
        raise BadInput(
            "--mirror and --keyring are for Manjaro and Arch",
            hint="DRYBOOT_DEBIAN_MIRROR is the mirror of Debian's packages",
        )
    return Wanted(image=kind, branch=rest or "stable", mirror=mirror, keyring=keyring, locked=locked)


def choose(host: HostPlan, asked: Wanted, progress: Progress) -> Chosen:
    """The image for `host`, built if need be; nobody is asked for what the cache has.

    Raises BadInput or LabFault as the sources do. Without a choice of the user's, what keeps the host's own
    distribution from being had is no error: it is in the result.
    """
    accept = _accept(asked.locked)
    chosen = _chosen(host, asked, accept, progress)
    accept(chosen.image.lock)
    return chosen


def _chosen(
    host: HostPlan, asked: Wanted, accept: Callable[[Sequence[Package]], None], progress: Progress
) -> Chosen:
    name = host.distribution.distribution
    if asked.tree is not None:
        return Chosen(
            image=rootfs.image(asked.tree, progress, accept=accept),
            why=f"{asked.tree} was given with --image",
        )
    if asked.image == "debian":
        why = "" if name == "debian" else "--image debian was asked for"
        return Chosen(image=debian.image(progress, accept=accept), why=why)
    kind = name if asked.image == "auto" else asked.image
    forced = asked.image != "auto" or bool(asked.mirror)
    source = _source(kind, host, asked)
    if source is None:
        if asked.mirror or asked.keyring:
            raise BadInput(
                f"the host is {name}: --mirror and --keyring are for Manjaro and Arch",
                hint="name the distribution too, such as --image manjaro",
            )
        why = "" if name == "debian" else f"there is no source of packages for {name}"
        return Chosen(image=debian.image(progress, accept=accept), why=why)
    if forced:
        why = "" if kind == name else f"--image {kind} was asked for"
        return Chosen(image=pacman.image(source, progress, accept=accept), why=why)
    try:
        if why := _keeps(source):
            return Chosen(image=debian.image(progress, accept=accept), why=why)
        return Chosen(image=pacman.image(source, progress, accept=accept))
    except lock.Refused:
        raise
    except DrybootError as error:
        if pacman.cached(source):
            raise
        mirror.remember(pacman.name(source), error.message)
        return Chosen(image=debian.image(progress, accept=accept), why=error.message)


def _source(kind: str, host: HostPlan, asked: Wanted) -> Pacman | None:
    for distribution in _PACMAN:
        if distribution == kind:
            extra = (*_EXTRA.get(host.generator, ()), *_EXTRA.get(host.bootloader, ()))
            return Pacman(
                distribution=distribution,
                branch=asked.branch,
                kernel=host.kernel,
                mirror=asked.mirror,
                keyring=asked.keyring,
                extra=extra,
            )
    return None


def _keeps(source: Pacman) -> str:
    """What keeps this machine from having the image, as far as that is known without building it."""
    if pacman.cached(source):
        return ""
    if os.geteuid():
        return f"packages of {source.distribution} can only be installed by root"
    if known := mirror.remembered(pacman.name(source)):
        return known
    if mirror.first_answer(source.candidates, distribution=source.distribution, branch=source.branch):
        return ""
    why = f"no mirror of {source.distribution} answers quickly ({', '.join(source.candidates)})"
    mirror.remember(pacman.name(source), why)
    return why


def _accept(locked: Path | None) -> Callable[[Sequence[Package]], None]:
    if locked is None:
        return lambda _: None
    packages = lock.read(locked)
    return lambda present: lock.check(packages, present, path=locked)
