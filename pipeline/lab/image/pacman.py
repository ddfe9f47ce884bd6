"""Runs pacstrap: signed packages of Manjaro or Arch into a tree."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipeline.errors import BadInput, LabFault
from pipeline.facts.mirrors import Mirrors, mirrors
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import NAMESPACES, Package
from pipeline.lab.image.pacman_failure import failure, last_lines

Distribution = Literal["manjaro", "arch"]

_PROGRAMS = ("pacman", "pacman-key", "pacstrap", "gpg", "unshare", "setpriv")
# Where packages put keyrings: Arch's pacman, Debian's.
_KEYRINGS = (Path("/usr/share/pacman/keyrings"), Path("/usr/share/keyrings"))
_ARCHITECTURE = "x86_64"
_SECONDS = 3600
_ANSWER_SECONDS = 3.0
_MIRROR = re.compile(r"(?:https?://[A-Za-z0-9\[]|file:///)[A-Za-z0-9._~%:/+,=\[\]-]*")
_SERIES = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")
_NAME = re.compile(r"[A-Za-z0-9@_+][A-Za-z0-9@._+-]*")
_STEP = re.compile(r"(?::: )?((?:Synchronizing|Retrieving|Processing|Running|installing) .+?)\.*$")
_SCRIPT_FAILED = "error: command failed to execute correctly"
# Sockets have at most 107 characters of path, so GnuPG's home gets a short one; what it keeps below /run/user goes
# away with the namespace. Its key signs for this one run: an Ed25519 key is made in no time.
_POPULATE = """
mount --bind "$1" /dev/shm
for folder in /usr/share/pacman/keyrings /usr/share/keyrings; do
    if [ -d "$folder" ]; then mount --bind "$2" "$folder"; fi
done
if [ -d /run/user ]; then mount -t tmpfs tmpfs /run/user; fi
shift 2
gpg --homedir /dev/shm --batch --quiet --passphrase '' --quick-gen-key pacman@localhost ed25519 sign,cert never
pacman-key --gpgdir /dev/shm --init
pacman-key --gpgdir /dev/shm --populate "$@"
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
    progress: Progress,
) -> tuple[Package, ...]:
    """Fill the empty directory `tree` with `packages` and the kernel of the series `kernel` from `mirror`.

    `mirror` is an http, https or file address that ends before the branch or repository. `keyring` is a file
    NAME.gpg with NAME-trusted and NAME-revoked beside it, a directory of such, or None for the distribution's own
    where the machine has it. Arch has one series: there `kernel` only has to be one. Returns what was installed,
    sorted. On a failure `tree` is empty again. Needs root.

    Raises BadInput or LabFault as pacman_failure says, BadInput for a mirror, branch, kernel or keyring that cannot
    be one, and LabFault where a program, root or the distribution's keyring is missing.
    """
    known = mirrors(distribution)
    server = _server(known, mirror, branch)
    if not _SERIES.fullmatch(kernel):
        raise BadInput(f"{kernel!r} is no kernel series", hint="such as 6.12")
    wanted = (*packages, known.kernel_package(kernel))
    if not all(_NAME.fullmatch(name) for name in wanted):
        raise LabFault(f"one of these cannot be a package's name: {', '.join(wanted)}")
    _demand_programs()
    if any(tree.iterdir()):
        raise LabFault(f"{tree} is not empty")
    private = Path(tempfile.mkdtemp(prefix=".pacman-", dir=tree.parent))
    try:
        _populate(private, _keyring_files(known, keyring))
        _write_config(private, server, known.branches[branch])
        status, text = _run(
            ["pacstrap", "-C", str(private / "pacman.conf"), "-G", "-M", "-c", str(tree), *wanted],
            private=private,
            progress=progress,
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


def answers(mirror: str, *, distribution: Distribution, branch: str) -> bool:
    """Whether `mirror` has the branch's first repository, and says so within three seconds.

    Raises BadInput for a mirror or branch that cannot be one.
    """
    known = mirrors(distribution)
    repository = known.branches[branch][0] if branch in known.branches else ""
    server = _server(known, mirror, branch).replace("$repo", repository).replace("$arch", _ARCHITECTURE)
    request = urllib.request.Request(f"{server}/{repository}.db", method="HEAD")
    found = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS):
                found.set()
        except (OSError, ValueError):
            return

    # A thread, for the time-out of a connection does not bound the look-up of its name.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_ANSWER_SECONDS)
    return found.is_set()


def _server(known: Mirrors, mirror: str, branch: str) -> str:
    if not _MIRROR.fullmatch(mirror):
        raise BadInput(
            f"{mirror!r} cannot be a mirror",
            hint="an address that begins with https://, http:// or file:///, special characters as %XX",
        )
    if branch not in known.branches:
        raise BadInput(
            f"{known.name} has no branch {branch!r}", hint=f"its branches: {', '.join(known.branches)}"
        )
    return known.server(mirror, branch=branch)


def _demand_programs() -> None:
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    if absent:
        raise LabFault(
            f"there is no {', '.join(absent)}",
            hint="on Debian: apt install pacman-package-manager makepkg arch-install-scripts gnupg; "
            "on Arch and Manjaro: pacman -S arch-install-scripts",
        )
    if os.geteuid():
        raise LabFault("pacstrap needs root: the files of a host belong to many users")


def _keyring_files(known: Mirrors, keyring: Path | None) -> tuple[Path, ...]:
    """The files NAME.gpg to populate from."""
    if keyring is None:
        found = {
            name: path
            for name in known.keyrings
            for folder in reversed(_KEYRINGS)
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


def _populate(private: Path, files: Sequence[Path]) -> None:
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
    status, text = _run(
        ["sh", "-ec", _POPULATE, "populate", str(home), str(staged), *names],
        private=private,
        progress=lambda _: None,
    )
    if "no valid OpenPGP data found" in text:
        raise BadInput(f"there are no keys in {', '.join(map(str, files))}", hint="gpg --show-keys FILE")
    if status:
        raise LabFault(f"the keyring could not be populated:\n{last_lines(text)}")


def _write_config(private: Path, server: str, repositories: Sequence[str]) -> None:
    for name in ("packages", "hooks"):
        (private / name).mkdir()
    # HookDir: else the hooks of this machine's administrator would run too. No LogFile in the tree: it has times.
    options = {
        "Architecture": _ARCHITECTURE,
        "GPGDir": private / "gnupg",
        "CacheDir": private / "packages",
        "HookDir": private / "hooks",
        "LogFile": private / "log",
        "SigLevel": "Required DatabaseOptional",
    }
    lines = ["[options]", *(f"{name} = {value}" for name, value in options.items())]
    for repository in repositories:
        lines += [f"[{repository}]", f"Server = {server}"]
    (private / "pacman.conf").write_text("\n".join(lines) + "\n")


def _run(argv: Sequence[str], *, private: Path, progress: Progress) -> tuple[int, str]:
    """Run `argv` in namespaces of its own: its status, and everything it said.

    All that it started and mounted ends with it, and it ends with us, whatever ends us.
    """
    environment = {**os.environ, "LC_ALL": "C", "HOME": str(private), "TMPDIR": str(private)}
    environment.pop("GNUPGHOME", None)
    try:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *NAMESPACES, *argv],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise LabFault(f"cannot start {argv[0]}: {error}") from error
    late = threading.Timer(_SECONDS, process.kill)
    late.start()
    said: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if step := _STEP.match(line):
                progress(step[1])
        status = process.wait()
    finally:
        late.cancel()
        process.kill()
        process.wait()
    if status == -signal.SIGKILL:
        raise LabFault(
            f"{argv[0]} was killed, at the latest after {_SECONDS} s:\n{last_lines(''.join(said))}"
        )
    return status, "".join(said)


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
