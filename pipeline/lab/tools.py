"""Hermetic tools: pacman, GnuPG and mke2fs of Debian's packages in the cache, run in a root of their own.

Nothing is installed on the system, and every machine has the same versions: what they write is the same
everywhere. (An mke2fs before 1.47.1 keeps the time of the copy in each inode and cannot read an archive.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab import cache
from pipeline.lab.cache import Progress
from pipeline.lab.debootstrap import EPOCH, mirror, unpack, write_lock

SUITE = "trixie"
PACKAGES = (
    "archlinux-keyring",
    "arch-install-scripts",
    "base-files",
    "bash",
    "ca-certificates",
    "coreutils",
    "dash",
    "e2fsprogs",
    "findutils",
    "gawk",
    "gnupg",
    "grep",
    "gzip",
    "libarchive-tools",
    "libarchive13t64",
    "libc-bin",
    "makepkg",
    "mount",
    "pacman-package-manager",
    "sed",
    "tar",
    "util-linux",
    "xz-utils",
    "zstd",
)
SECONDS = 3600
_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
# As root of the namespaces: an overlay over the tools, with a memory file system for what they write.
_ENTER = """
scratch=$1 tools=$2 certificates=$3
shift 3
mount -t tmpfs -o mode=0755 scratch "$scratch"
root=$scratch/root
mkdir "$scratch/upper" "$scratch/work" "$root"
mount -t overlay -o "lowerdir=$tools,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=0755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
for name in resolv.conf hosts; do
    if [ -e "/etc/$name" ]; then rm -f "$root/etc/$name"; cat "/etc/$name" > "$root/etc/$name"; fi
done
if [ -n "$certificates" ]; then cat "$certificates" > "$root/etc/ssl/certs/ca-certificates.crt"; fi
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount --rbind "$1" "$root$2"
    shift 2
done
shift
exec chroot "$root" "$@"
"""


def name() -> str:
    """The cache's name for the tools; changes with what they are made of."""
    return cache.key("tools", 1, SUITE, PACKAGES, mirror())


def tree(progress: Progress) -> Path:
    """The tools' root directory, prepared first if need be (half a minute). Raises LabFault."""
    return cache.prepared("tools", name(), lambda fresh: _prepare(fresh, progress)) / "root"


def run(
    argv: Sequence[str],
    *,
    scratch: Path,
    binds: Mapping[Path, str],
    progress: Progress,
    said: Progress = lambda _: None,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run `argv` in the tools' root: its status, and all that it printed, each line told to `said` as well.

    `scratch` is a directory of this machine where a subdirectory is made; `binds` are the directories of this
    machine that the tools see, with the path at which they do. All that is started and mounted ends with it, and
    it ends with us, whatever ends us. Raises LabFault where it cannot be started or is killed.
    """
    tools = tree(progress)
    mounted = scratch / "tools"
    mounted.mkdir(exist_ok=True)
    certificates = next((path for path in _CERTIFICATES if Path(path).is_file()), "")
    pairs = [part for source, target in binds.items() for part in (str(source), target)]
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    spaces = ["unshare", *user, "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]
    enter = ["sh", "-euc", _ENTER, "tools", str(mounted), str(tools), certificates, *pairs, "--"]
    proxies = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
    try:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *spaces, *enter, *argv],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL": "C",
                "HOME": "/root",
                "SOURCE_DATE_EPOCH": str(EPOCH),
                **proxies,
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise LabFault(f"cannot start {argv[0]}: {error}") from error
    late = threading.Timer(SECONDS, process.kill)
    late.start()
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            said(line)
        status = process.wait()
    finally:
        late.cancel()
        process.kill()
        process.wait()
        mounted.rmdir()
    text = "".join(lines)
    if status == -signal.SIGKILL:
        raise LabFault(f"{argv[0]} was killed, at the latest after {SECONDS} s:\n{text[-500:]}")
    return status, text


def demand(done: tuple[int, str], what: str) -> str:
    """The output of a run that ended well. Raises LabFault with the end of it for any other."""
    status, text = done
    if status:
        raise LabFault(f"{what}: exit status {status}: {text.strip()[-800:]}")
    return text


def _prepare(fresh: Path, progress: Progress) -> None:
    progress("preparing tools from Debian's packages (half a minute, 0.2 GB)")
    root = fresh / "root"
    packages = unpack(root, suites=(SUITE,), packages=PACKAGES, progress=progress)
    # What the packages' scripts would have done, as far as the tools need it.
    (root / "usr/bin/awk").symlink_to("gawk")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    (root / "etc/mtab").symlink_to("/proc/self/mounts")
    certificates = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    (root / "etc/ssl/certs/ca-certificates.crt").write_bytes(
        b"".join(path.read_bytes() for path in certificates)
    )
    write_lock(fresh, packages)
