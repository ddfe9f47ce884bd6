"""L1 from the packages of Manjaro or Arch: the owner's own distribution."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.facts.mirrors import mirrors
from pipeline.lab import cache
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import Package
from pipeline.lab.image import HostImage, build
from pipeline.lab.image.mirror import ARCHITECTURE, Distribution, first_answer, server_of
from pipeline.lab.image.pacman_failure import Unreachable
from pipeline.lab.image.strap import strap

# It would make an initramfs for this machine's hardware, which nobody boots.
_WITHOUT_HOOKS = ("90-mkinitcpio-install.hook", "90-dracut-install.hook")
_NAMES = {"manjaro": "Manjaro", "arch": "Arch Linux"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pacman:
    """What to install, and from where: `kernel` is a series, `mirror` one instead of the distribution's own.

    `keyring`: see strap. `extra` are packages that the scenario needs beside the distribution's list.
    """

    distribution: Distribution
    branch: str
    kernel: str
    mirror: str = ""
    keyring: Path | None = None
    extra: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        """What is asked for by name, the kernel aside."""
        return (*mirrors(self.distribution).packages, *self.extra)

    @property
    def candidates(self) -> tuple[str, ...]:
        """The mirrors to try."""
        return (self.mirror,) if self.mirror else mirrors(self.distribution).mirrors


def name(source: Pacman) -> str:
    """The cache's name for the image; changes with everything it is asked to be made of."""
    asked = (source.distribution, source.branch, source.kernel, source.mirror, source.packages)
    keyring = str(source.keyring) if source.keyring else ""
    return cache.key("pacman", asked, keyring, _of_this_machine(source), _WITHOUT_HOOKS, *build.made_by())


def _of_this_machine(source: Pacman) -> list[str]:
    """The databases of a mirror on this machine, by their checksums: it costs nothing to see that they changed."""
    address = urlsplit(source.mirror)
    known = mirrors(source.distribution)
    if address.scheme != "file" or source.branch not in known.branches:
        return []
    below = unquote(urlsplit(known.server(source.mirror, branch=source.branch)).path)
    found = []
    for repository in known.branches[source.branch]:
        folder = below.replace("$repo", repository).replace("$arch", ARCHITECTURE)
        path = Path(folder, f"{repository}.db")
        found.append(hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
    return found


def cached(source: Pacman) -> bool:
    """Whether the image is there already."""
    return (cache.root() / "images" / name(source)).is_dir()


def image(
    source: Pacman, progress: Progress, *, accept: Callable[[Sequence[Package]], None] = lambda _: None
) -> HostImage:
    """The image from the cache, built first if need be (minutes).

    `accept` sees the packages before anything is made of them, and raises for any that shall not be. Raises
    BadInput or LabFault as strap does.
    """
    for mirror in source.candidates:
        server_of(mirrors(source.distribution), mirror, source.branch)
    path = cache.prepared("images", name(source), lambda fresh: _build(source, fresh, progress, accept))
    return build.load(path, own=source.distribution)


def _build(
    source: Pacman, fresh: Path, progress: Progress, accept: Callable[[Sequence[Package]], None]
) -> None:
    mirror = source.mirror or first_answer(
        source.candidates, distribution=source.distribution, branch=source.branch
    )
    if not mirror:
        raise Unreachable(
            f"no mirror of {_NAMES[source.distribution]} answers: {', '.join(source.candidates)}",
            hint="look at the network, or name another mirror",
        )
    progress(f"building the L1 image from the packages of {mirror} (some minutes)")
    work = fresh / "work"
    tree = work / "tree"
    tree.mkdir(parents=True)
    packages = strap(
        tree,
        distribution=source.distribution,
        branch=source.branch,
        kernel=source.kernel,
        mirror=mirror,
        keyring=source.keyring,
        packages=source.packages,
        without_hooks=_WITHOUT_HOOKS,
        progress=progress,
    )
    accept(packages)
    archived = fresh / "root.tar"
    build.shaped(tree, archived, scratch=work, progress=progress)
    shutil.rmtree(work)
    label = f"{_NAMES[source.distribution]} {source.branch}"
    build.finish(fresh, archived, packages=packages, distribution=label, progress=progress)
