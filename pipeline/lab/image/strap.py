"""Runs pacstrap: signed packages of Manjaro or Arch into a tree."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.errors import BadInput, LabFault
from pipeline.facts.mirrors import Mirrors, mirrors
from pipeline.lab import tools
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import Package
from pipeline.lab.image.mirror import ARCHITECTURE, Distribution, server_of
from pipeline.lab.image.pacman_failure import failure, last_lines

# Where packages put keyrings: Arch's pacman, Debian's.
_KEYRINGS = (Path("/usr/share/pacman/keyrings"), Path("/usr/share/keyrings"))
_SERIES = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")
_NAME = re.compile(r"[A-Za-z0-9@_+][A-Za-z0-9@._+-]*")
_STEP = re.compile(r"(?::: )?((?:Synchronizing|Retrieving|Processing|Running|installing) .+?)\.*$")
_SCRIPT_FAILED = "error: command failed to execute correctly"
# An agent's socket has at most 107 characters of path: so short are the paths of what is bound. The key of
# this keyring signs for this one run: an Ed25519 key is made in no time.
_PRIVATE, _TREE = "/private", "/tree"
_POPULATE = f"""
gpg --homedir {_PRIVATE}/gnupg --batch --quiet --passphrase '' --quick-gen-key pacman@localhost ed25519 sign,cert never
pacman-key --gpgdir {_PRIVATE}/gnupg --init
pacman-key --gpgdir {_PRIVATE}/gnupg --populate "$@"
"""


def strap(
    tree: Path,
    *,
    distribution: Distribution,
    branch: str,
    kernel: str,
    mirror: str,
    keyring: Path | None,
    packages: Sequence[str],
    without_hooks: Sequence[str] = (),
    progress: Progress,
) -> tuple[Package, ...]:
    """Fill the empty directory `tree` with `packages` and the kernel of the series `kernel` from `mirror`.

    `mirror` is an http, https or file address that ends before the branch or repository. `keyring` is a file
    NAME.gpg with NAME-trusted and NAME-revoked beside it, a directory of such, or None for the distribution's own
    where the machine has it. Arch has one series: there `kernel` only has to be one. Returns what was installed,
    sorted. `without_hooks` are hooks of the packages that do not run. On a failure `tree` is empty again. Needs
    root.

    Raises BadInput or LabFault as pacman_failure says, BadInput for a mirror, branch, kernel or keyring that cannot
    be one, and LabFault where root or the distribution's keyring is missing.
    """
    known = mirrors(distribution)
    server = server_of(known, mirror, branch)
    if not _SERIES.fullmatch(kernel):
        raise BadInput(f"{kernel!r} is no kernel series", hint="such as 6.12")
    wanted = (*packages, known.kernel_package(kernel))
    if not all(_NAME.fullmatch(name) for name in wanted):
        raise LabFault(f"one of these cannot be a package's name: {', '.join(wanted)}")
    if os.geteuid():
        raise LabFault("pacstrap needs root: the files of a host belong to many users")
    here = _own_machine(mirror)
    if any(tree.iterdir()):
        raise LabFault(f"{tree} is not empty")
    private = Path(tempfile.mkdtemp(prefix=".pacman-", dir=tree.parent))
    try:
        _populate(private, _keyring_files(known, keyring, progress), progress)
        _write_config(private, server, known.branches[branch], without_hooks)
        binds = {private: _PRIVATE, tree: _TREE, **here}
        status, text = tools.run(
            ["pacstrap", "-C", f"{_PRIVATE}/pacman.conf", "-G", "-M", "-c", _TREE, *wanted],
            scratch=private,
            binds=binds,
            progress=progress,
            said=_steps(progress),
        )
        if status:
            populated = (
                str(keyring) if keyring else " and ".join(f"{name}-keyring" for name in known.keyrings)
            )
            raise failure(text, server=server, keyring=populated)
        if _SCRIPT_FAILED in text:
            progress("a script of the packages failed; pacman goes on after that")
        return _installed(tree, private / "packages")
    except BaseException:
        _empty(tree)
        raise
    finally:
        shutil.rmtree(private)


def _own_machine(mirror: str) -> dict[Path, str]:
    """The directory of a mirror on this machine, which the tools have to see."""
    address = urlsplit(mirror)
    if address.scheme != "file":
        return {}
    folder = Path(unquote(address.path))
    if not folder.is_dir():
        raise BadInput(f"there is no directory {folder}, which the mirror would be")
    return {folder: str(folder)}


def _keyring_files(known: Mirrors, keyring: Path | None, progress: Progress) -> tuple[Path, ...]:
    """The files NAME.gpg to populate from."""
    if keyring is None:
        # This machine's own are newer than the tools'.
        there = (tools.tree(progress) / "usr/share/keyrings", *reversed(_KEYRINGS))
        found = {
            name: path
            for name in known.keyrings
            for folder in there
            if (path := folder / f"{name}.gpg").is_file()
        }
        if absent := [name for name in known.keyrings if name not in found]:
            raise LabFault(
                f"this machine does not have the keyring {' and '.join(absent)}",
                hint=f"install {' and '.join(f'{name}-keyring' for name in absent)}, or name a keyring",
            )
        return tuple(found.values())
    if keyring.is_dir():
        files = tuple(path for path in sorted(keyring.glob("*.gpg")) if _beside(path, "trusted").is_file())
    else:
        files = (keyring,) if keyring.suffix == ".gpg" and keyring.is_file() else ()
    if not files:
        raise BadInput(
            f"{keyring} is no keyring",
            hint="name a file NAME.gpg with NAME-trusted beside it, or their directory",
        )
    return files


def _beside(file: Path, kind: str) -> Path:
    return file.with_name(f"{file.stem}-{kind}")


def _populate(private: Path, files: Sequence[Path], progress: Progress) -> None:
    """Make the keyring private/gnupg: the keys of `files`, those that they trust locally signed."""
    home, staged = private / "gnupg", private / "keyrings"
    home.mkdir(mode=0o700)
    staged.mkdir()
    # Keys come from the keyring only: pacman would ask key servers for others.
    (home / "gpg.conf").write_text("disable-dirmngr\n")
    for number, file in enumerate(files):
        shutil.copyfile(file, staged / f"keyring{number}.gpg")
        for kind in ("trusted", "revoked"):
            if _beside(file, kind).is_file():
                shutil.copyfile(_beside(file, kind), staged / f"keyring{number}-{kind}")
    names = [f"keyring{number}" for number in range(len(files))]
    # pacman-key looks where its distribution has them.
    status, text = tools.run(
        ["sh", "-ec", _POPULATE, "populate", *names],
        scratch=private,
        binds={private: _PRIVATE, staged: str(_KEYRINGS[1])},
        progress=progress,
    )
    if "no valid OpenPGP data found" in text:
        raise BadInput(f"there are no keys in {', '.join(map(str, files))}", hint="gpg --show-keys FILE")
    if status:
        raise LabFault(f"the keyring could not be populated:\n{last_lines(text)}")


def _write_config(
    private: Path, server: str, repositories: Sequence[str], without_hooks: Sequence[str]
) -> None:
    for name in ("packages", "hooks"):
        (private / name).mkdir()
    for hook in without_hooks:
        # As alpm-hooks(5) says: the same name in a later directory, and nothing in it.
        (private / "hooks" / hook).symlink_to("/dev/null")
    # HookDir: else the hooks of this machine's administrator would run too. No LogFile in the tree: it has times.
    options = {
        "Architecture": ARCHITECTURE,
        "GPGDir": f"{_PRIVATE}/gnupg",
        "CacheDir": f"{_PRIVATE}/packages",
        "HookDir": f"{_PRIVATE}/hooks",
        "LogFile": f"{_PRIVATE}/log",
        "SigLevel": "Required DatabaseOptional",
    }
    lines = ["[options]", *(f"{name} = {value}" for name, value in options.items())]
    for repository in repositories:
        lines += [f"[{repository}]", f"Server = {server}"]
    (private / "pacman.conf").write_text("\n".join(lines) + "\n")


def _steps(progress: Progress) -> Callable[[str], None]:
    """Tells `progress` of the steps among the lines that pacman prints."""

    def said(line: str) -> None:
        if step := _STEP.match(line):
            progress(step[1])

    return said


def _installed(tree: Path, packages: Path) -> tuple[Package, ...]:
    """What the tree's own database says, with the checksums of the files that were installed."""
    found = []
    for description in (tree / "var/lib/pacman/local").glob("*/desc"):
        lines = description.read_text(encoding="utf-8").splitlines()
        name, version, architecture = (
            lines[lines.index(f"%{field}%") + 1] for field in ("NAME", "VERSION", "ARCH")
        )
        prefix = f"{name}-{version}-{architecture}.pkg.tar"
        files = [
            path for path in packages.iterdir() if path.name.startswith(prefix) and path.suffix != ".sig"
        ]
        if len(files) != 1:
            raise LabFault(f"pacman installed {name} {version}, but its file is not in the cache")
        with files[0].open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        found.append(Package(name=name, version=version, architecture=architecture, sha256=checksum))
    return tuple(sorted(found))


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
