"""Runs mmdebstrap: Debian packages into a tree, unprivileged where the machine allows it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from pipeline.errors import LabFault
from pipeline.lab import cache
from pipeline.lab.cache import Progress

MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Time stamps of what is built: those that are later become this one, 2025-01-01.
EPOCH = 1735689600
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--")
_STEP = re.compile(r"^I: (running apt-get update|downloading|extracting|installing|creating|success)")


class Unreachable(LabFault):
    """The mirror did not answer; trying again may help."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Package:
    """An installed package as the lock records it."""

    name: str
    version: str
    architecture: str
    sha256: str


def mirror() -> str:
    """The mirror in use: DRYBOOT_DEBIAN_MIRROR or the distribution's default."""
    return os.environ.get("DRYBOOT_DEBIAN_MIRROR", MIRROR)


@retry(
    retry=retry_if_exception_type(Unreachable), stop=stop_after_attempt(3), wait=wait_fixed(5), reraise=True
)
def mmdebstrap(
    target: Path,
    *,
    suites: Sequence[str],
    packages: Sequence[str],
    progress: Progress,
    variant: str,
    release: str = "",
    hooks: Sequence[str] = (),
) -> None:
    """Unpack (variant `extract`) or install `packages` from `suites` into the archive or directory `target`.

    `release` is preferred where several suites have a package. Raises Unreachable or LabFault with the end of
    mmdebstrap's messages.
    """
    argv = ["mmdebstrap", f"--variant={variant}", "--architectures=amd64", "--components=main"]
    argv += [f"--include={','.join(packages)}", '--aptopt=Apt::Install-Recommends "false"']
    if release:
        argv.append(f'--aptopt=APT::Default-Release "{release}"')
    argv += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale", "info")]
    argv += list(hooks)
    signed = f" [signed-by={KEYRING}]" if KEYRING.exists() else ""
    lines = [f"deb{signed} {mirror()} {suite} main" for suite in suites]
    # INITRD=No: kernel postinst hooks would build an initramfs that nobody boots (kernel-img.conf(5)).
    # With SOURCE_DATE_EPOCH mmdebstrap's archive is the same each time (mmdebstrap(1)).
    environment = {**os.environ, "INITRD": "No", "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": str(EPOCH)}
    # Without root mmdebstrap clears its scratch space itself when it is told to end.
    end = signal.SIGTERM
    if os.geteuid() == 0:
        # Its scratch space and mounts are the run's: whatever kills us, the next maker clears the one, and the
        # other are gone with their namespace. A mapped user could not write beside the target.
        environment["TMPDIR"] = str(target.parent)
        argv = [*NAMESPACES, *argv]
        end = signal.SIGKILL
    log = cache.root() / "mmdebstrap.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("w") as stream:
        try:
            process = subprocess.Popen(
                [
                    "setpriv",
                    "--pdeathsig",
                    end.name.removeprefix("SIG"),
                    "--",
                    *argv,
                    suites[0],
                    str(target),
                    *lines,
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise LabFault(f"cannot start mmdebstrap: {error}") from error
        said: list[str] = []
        try:
            assert process.stderr is not None
            for line in process.stderr:
                stream.write(line)
                said.append(line.rstrip())
                if _STEP.match(line):
                    progress(line[3:].strip())
            status = process.wait()
        except BaseException:
            process.send_signal(end)
            process.wait()
            raise
    if status:
        text = "\n".join(line for line in said if line.startswith(("E:", "W:", "Err:"))) or "\n".join(
            said[-10:]
        )
        kind = (
            Unreachable
            if re.search(r"Could not (resolve|connect)|Temporary failure|timed out|Failed to fetch", text)
            else LabFault
        )
        raise kind(f"mmdebstrap ended with {status}:\n{text}", hint=f"its whole output is in {log}")


def lock_hooks(target: Path) -> tuple[str, ...]:
    """Hooks that write the control fields of every downloaded package, with its SHA256, to `target`.

    Two hooks, for the essential packages are gone from apt's archive when the others come.
    """
    script = (
        'for deb in "$1"/var/cache/apt/archives/*.deb; do [ -e "$deb" ] || continue; '
        'dpkg-deb --field "$deb" Package Version Architecture; sha256sum "$deb" | sed "s/ .*//; s/^/SHA256: /"; echo; '
        f"done >> '{target}'"
    )
    return (f"--extract-hook={script}", f"--customize-hook={script}")


def read_lock(path: Path) -> tuple[Package, ...]:
    """The packages that `lock_hook` recorded, sorted by name."""
    paragraphs = path.read_text(encoding="utf-8").strip().split("\n\n")
    fields = [HeaderParser().parsestr(paragraph) for paragraph in paragraphs]
    if not all(entry[name] for entry in fields for name in ("Package", "Version", "Architecture", "SHA256")):
        raise LabFault("mmdebstrap's hooks recorded a package without its version or checksum")
    return tuple(
        sorted(
            {
                Package(
                    name=entry["Package"],
                    version=entry["Version"],
                    architecture=entry["Architecture"],
                    sha256=entry["SHA256"],
                )
                for entry in fields
            }
        )
    )


def unpack(
    target: Path, *, suites: Sequence[str], packages: Sequence[str], progress: Progress, release: str = ""
) -> tuple[Package, ...]:
    """Unpack `packages` into the directory `target` without configuring them; what they were, sorted by name.

    `release` as for `mmdebstrap`, which raises what this does.
    """
    listed = target.with_name(f"{target.name}.packages")
    mmdebstrap(
        target,
        suites=suites,
        packages=packages,
        release=release,
        variant="extract",
        progress=progress,
        hooks=lock_hooks(listed),
    )
    found = read_lock(listed)
    listed.unlink()
    return found


def write_lock(folder: Path, packages: Sequence[Package], **more: object) -> None:
    """Write `lock.json` into `folder`: `more`, and of each package name, version, architecture and SHA256."""
    rows = [[one.name, one.version, one.architecture, one.sha256] for one in packages]
    (folder / "lock.json").write_text(json.dumps({**more, "packages": rows}, indent=1) + "\n")
