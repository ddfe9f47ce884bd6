"""Kernels of Debian's suites with their module trees: to boot what is made here on more than L1's own kernel.

Only unpacked, never configured; depmod is the one of the same suite, started through its own loader.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab import cache
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import mirror, unpack, write_lock

PACKAGES = ("linux-image-amd64", "kmod")
_LOADER = "lib64/ld-linux-x86-64.so.2"
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kernel:
    """A kernel in the cache: the bzImage `image`, its `release`, modules below `tree`/usr/lib/modules."""

    image: Path
    release: str
    tree: Path
    packages: dict[str, str]


def name(suite: str) -> str:
    """The cache's name for the kernel of `suite`; changes with everything it is made of."""
    return cache.key("kernel", 1, suite, PACKAGES, mirror())


def kernel(suite: str, progress: Progress) -> Kernel:
    """The kernel of Debian's `suite` from the cache, fetched first if need be (half a minute).

    Raises LabFault.
    """
    path = cache.prepared("kernels", name(suite), lambda fresh: _prepare(fresh, suite, progress))
    lock = json.loads((path / "lock.json").read_text())
    return Kernel(
        image=path / "vmlinuz",
        release=lock["release"],
        tree=path / "tree",
        packages={package[0]: package[1] for package in lock["packages"]},
    )


def only(unpacked: Path, suite: str) -> tuple[Path, str]:
    """The bzImage among unpacked packages of `suite`, and its release. Raises LabFault unless there is one."""
    images = sorted((unpacked / "boot").glob("vmlinuz-*"))
    if len(images) != 1:
        raise LabFault(f"{suite} has {len(images)} kernels where one was asked for")
    return images[0], images[0].name.removeprefix("vmlinuz-")


def _prepare(fresh: Path, suite: str, progress: Progress) -> None:
    progress(f"unpacking the kernel of Debian's {suite} (half a minute, 0.3 GB)")
    unpacked = fresh / "unpacked"
    packages = unpack(unpacked, suites=(suite,), packages=PACKAGES, progress=progress)
    image, release = only(unpacked, suite)
    # Where /usr is merged by the packages themselves, and where it is not.
    modules = next(
        (path for name in ("usr/lib", "lib") if (path := unpacked / name / "modules" / release).is_dir()),
        None,
    )
    if modules is None:
        raise LabFault(f"{image.name} of {suite} comes without modules")
    target = fresh / "tree/usr/lib/modules"
    target.mkdir(parents=True)
    modules.rename(target / release)
    # depmod -b looks below lib/modules.
    (fresh / "tree/lib").symlink_to("usr/lib")
    _depmod(unpacked, fresh / "tree", release)
    image.rename(fresh / "vmlinuz")
    shutil.rmtree(unpacked)
    write_lock(fresh, packages, release=release, suite=suite)


def _depmod(unpacked: Path, tree: Path, release: str) -> None:
    """Write the indexes of `release` below `tree`: a package that was only unpacked has none."""
    program = next(
        (path for name in ("usr/bin", "bin") if (path := unpacked / name / "kmod").is_file()), None
    )
    if program is None:
        raise LabFault("the suite's kmod was not unpacked")
    libraries = ":".join(str(unpacked / name) for name in _LIBRARIES)
    # kmod is depmod where it is called so.
    argv = [str(unpacked / _LOADER), "--library-path", libraries, "--argv0", "depmod"]
    argv += [str(program), "-b", str(tree), release]
    try:
        done = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", "--", *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"depmod: {error}") from error
    if done.returncode:
        raise LabFault(f"depmod ended with {done.returncode}: {done.stderr.strip()}")
