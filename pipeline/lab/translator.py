"""Libvirt as a translator: the command line that it would start QEMU with for a domain.

Hermetic, of Debian's packages in the cache, without a daemon (`qemu:///embed`, libvirt's docs/drvqemu.rst) and as an
ordinary user in namespaces of its own: so it works without root, and as root needs no user of libvirt's. It asks
each QEMU once what it can do, which takes some seconds, and keeps that beside the release.

An embedded driver locks its root directory, so two translations for the same release wait for each other.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from pipeline.errors import LabFault
from pipeline.lab import cache
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import mirror, unpack, write_lock
from pipeline.lab.releases import Release

SUITE = "trixie"
PACKAGES = ("libvirt-clients", "libvirt-daemon-driver-qemu")
SECONDS = 120
_KEPT, _ANSWER = "translations", "arguments.json"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
# Where the release's folder is seen: a socket's path may have 107 bytes (unix(7)), and those of users have more.
_SHORT = ("/mnt", "/srv", "/media", "/opt")
_CONFIGURATION = """# Nothing but command lines is made with this.
security_driver = "none"
namespaces = []
cgroup_controllers = []
"""
# As root of the namespaces; libvirt's data (its CPU models) has to be at its own path. The shell stays: a QEMU that
# libvirt has asked becomes a child of process 1, and libvirt waits until that has reaped it (80 s otherwise; ran).
_ENTER = """
mount --bind "$1" "$2"
mount -t overlay -o lowerdir=.:/usr/share overlay /usr/share
cd "$2"
shift 2
unshare --user --map-user=1000 --map-group=1000 -- "$@" || exit $?
exit 0
"""


class Refused(LabFault):
    """Libvirt does not take the domain for this QEMU; the message is its own."""


def name() -> str:
    """The cache's name for the hermetic libvirt; changes with what it is made of."""
    return cache.key("libvirt", 1, SUITE, PACKAGES, mirror())


def tree(progress: Progress) -> Path:
    """Libvirt's root directory, prepared first if need be (half a minute). Raises LabFault."""
    return cache.prepared("libvirt", name(), lambda fresh: _prepare(fresh, progress)) / "root"


def translate(xml: bytes, release: Release, progress: Progress) -> tuple[str, ...]:
    """The arguments of QEMU for the domain `xml`, whose emulator is put to the release's.

    Libvirt is asked once for each start of this machine: most of what an owner changes changes no domain.
    Raises Refused where libvirt says that this does not go together, LabFault where it does not run.
    """
    from lxml import etree

    root = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True))
    short = _short_path([str(cache.root()), *release.qemu.argv])
    for emulator in root.iterfind("devices/emulator"):
        emulator.text = f"{short}/emulator"
    wanted = etree.tostring(root)
    key = cache.key("translation", 1, wanted, release.digest, release.qemu.script(), name(), short)
    # What libvirt says of a CPU may depend on the machine and its kernel.
    boot = cache.key(_BOOT.read_text())

    def make(fresh: Path) -> None:
        (fresh / _ANSWER).write_text(json.dumps(_asked(wanted, release, short, progress)))
        for folder in fresh.parent.parent.iterdir():
            if folder.name != boot:
                shutil.rmtree(folder, ignore_errors=True)

    kept = cache.prepared(f"{_KEPT}/{boot}", key, make)
    return tuple(json.loads((kept / _ANSWER).read_text()))


def _asked(xml: bytes, release: Release, short: str, progress: Progress) -> tuple[str, ...]:
    libvirt = tree(progress)
    with FileLock(release.folder / ".libvirt.lock"):
        _lay_out(release)
        done = _run(libvirt, release, short, xml)
    if done.returncode:
        said = [
            line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error:")
        ]
        if any(
            line.startswith(("unsupported configuration", "XML error", "invalid argument")) for line in said
        ):
            raise Refused(" ".join(said).replace(f"Emulator '{short}/emulator'", f"QEMU {release.name}"))
        raise LabFault(f"libvirt makes no command line: {done.stderr.strip()[-800:]}")
    return arguments(done.stdout, emulator=f"{short}/emulator")


def arguments(line: str, *, emulator: str) -> tuple[str, ...]:
    """What comes after the emulator in libvirt's answer. Raises LabFault where it is not there."""
    words = shlex.split(line)
    if emulator not in words:
        raise LabFault(f"libvirt's command line does not start the emulator: {line[:200]}")
    return tuple(words[words.index(emulator) + 1 :])


def _short_path(used: Iterable[str]) -> str:
    inside = [Path(path).resolve() for path in used if path.startswith("/")]
    for candidate in _SHORT:
        folder = Path(candidate)
        if folder.is_dir() and not any(path.is_relative_to(folder) for path in inside):
            return candidate
    raise LabFault(f"libvirt needs one of {', '.join(_SHORT)} that nothing of the lab is in")


def _lay_out(release: Release) -> None:
    """Libvirt's directories and the emulator that it starts. An unchanged emulator is left, for libvirt asks again."""
    configuration = release.folder / "libvirt/etc/qemu.conf"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text(_CONFIGURATION)
    text = release.qemu.script()
    script = release.folder / "emulator"
    if not script.is_file() or script.read_text() != text:
        script.write_text(text)
        script.chmod(0o755)


def _run(libvirt: Path, release: Release, short: str, xml: bytes) -> subprocess.CompletedProcess[str]:
    libraries = libvirt / _LIBRARIES
    virsh = [
        str(libraries / "ld-linux-x86-64.so.2"),
        *("--library-path", f"{libraries}:{libraries / 'libvirt'}"),
        str(libvirt / "usr/bin/virsh"),
        *("-c", f"qemu:///embed?root={short}/libvirt"),
        *("domxml-to-native", "qemu-argv", "/dev/stdin"),
    ]
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    spaces = ["unshare", *user, "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]
    home = f"{short}/libvirt/home"
    try:
        return subprocess.run(
            [
                *("setpriv", "--pdeathsig", "KILL", "--", *spaces),
                *("sh", "-euc", _ENTER, "libvirt", str(release.folder), short, *virsh),
            ],
            cwd=libvirt / "usr/share",
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL": "C",
                "HOME": home,
                **{f"XDG_{kind}_HOME": home for kind in ("CACHE", "CONFIG", "DATA", "STATE")},
                "LIBVIRT_DRIVER_DIR": str(libraries / "libvirt/connection-driver"),
            },
            input=xml.decode(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabFault(f"libvirt gives no command line within {SECONDS} s") from error
    except OSError as error:
        raise LabFault(f"cannot start libvirt: {error}") from error


def _prepare(fresh: Path, progress: Progress) -> None:
    progress("preparing libvirt from Debian's packages (half a minute, 0.2 GB)")
    root = fresh / "root"
    packages = unpack(root, suites=(SUITE,), packages=PACKAGES, progress=progress)
    for folder in ("usr/share/bash-completion", "usr/share/locale", "var/cache", "var/lib/apt"):
        shutil.rmtree(root / folder, ignore_errors=True)
    write_lock(fresh, packages)
