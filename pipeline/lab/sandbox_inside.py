"""The part of the sandbox that runs in the namespaces: mounts the overlay, runs the steps, copies out what changed.

Started as `python -m pipeline.lab.sandbox_inside SPEC.json`; needs nothing beyond the standard library.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

# Answers for the disk of the virtual machine, which is not there yet (util/grub-probe.c, its targets).
_GRUB_PROBE = """#!/bin/sh
target=fs
while [ $# -gt 0 ]; do
    case $1 in
        --target=*) target=${1#--target=} ;;
        -t | --target) target=$2; shift ;;
    esac
    shift
done
case $target in
    device) echo /dev/vda ;;
    fs) echo ext2 ;;
    fs_uuid) echo @uuid@ ;;
    drive) echo '(hd0)' ;;
esac
"""
_PROBES = ("usr/sbin/grub-probe", "usr/bin/grub-probe", "usr/sbin/grub2-probe", "usr/bin/grub2-probe")
_DEVICES = ("null", "zero", "full", "random", "urandom")
# What tools leave behind for themselves.
_NOT_KEPT = ("dev", "proc", "sys", "run", "tmp", "var/tmp", "var/cache", "var/log")
_STEP_SECONDS = 240


def main(spec: dict[str, Any]) -> None:
    """Do what the specification says; how each step ended goes to its `result` file."""
    scratch = Path(spec["scratch"])
    _mount("-t", "tmpfs", "-o", "mode=0755", "scratch", str(scratch))
    upper, work, root = scratch / "upper", scratch / "work", scratch / "root"
    for folder in (upper, work, root):
        folder.mkdir()
    layers = f"lowerdir={spec['tree']},upperdir={upper},workdir={work}"
    _mount("-t", "overlay", "-o", layers, "overlay", str(root))
    for name in spec["removed"]:
        (root / name.lstrip("/")).unlink(missing_ok=True)
    _run("cp", "-a", f"{spec['put']}/.", str(root))
    _furnish(root, spec["uuid"], spec["modaliases"])
    outcomes = [_step(step, root) for step in spec["steps"]]
    changed, removed = Path(spec["changed"]), []
    for path in sorted(upper.rglob("*")):
        name = path.relative_to(upper).as_posix()
        if any(name == one or name.startswith(f"{one}/") for one in _NOT_KEPT):
            continue
        status = path.lstat()
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # a whiteout of overlayfs
            removed.append(f"/{name}")
        elif stat.S_ISDIR(status.st_mode):
            (changed / name).mkdir(parents=True, exist_ok=True)
        elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            shutil.copy2(path, changed / name, follow_symlinks=False)
    Path(spec["result"]).write_text(json.dumps({"outcomes": outcomes, "removed": removed}))


def _furnish(root: Path, uuid: str, modaliases: list[str]) -> None:
    """What tools expect of a running system, as far as it does not show this machine's hardware."""
    _mount("-t", "tmpfs", "-o", "mode=0755", "dev", str(root / "dev"))
    for name in _DEVICES:
        (root / "dev" / name).touch()
        _mount("--bind", f"/dev/{name}", str(root / "dev" / name))
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (root / "dev" / name).symlink_to(target)
    (root / "dev/vda").touch()
    by_uuid = root / "dev/disk/by-uuid"
    by_uuid.mkdir(parents=True)
    (by_uuid / uuid).symlink_to("../../vda")
    _mount("-t", "proc", "proc", str(root / "proc"))
    for name in ("sys", "run", "tmp"):
        _mount("-t", "tmpfs", "-o", "mode=0755", name, str(root / name))
    # Where mkinitcpio's autodetect and dracut look for hardware.
    for number, alias in enumerate(modaliases):
        device = root / f"sys/devices/dryboot/{number}"
        device.mkdir(parents=True)
        (device / "uevent").write_text(f"MODALIAS={alias}\n")
        (device / "modalias").write_text(f"{alias}\n")
    probe = root / "run/grub-probe"
    probe.write_text(_GRUB_PROBE.replace("@uuid@", uuid))
    probe.chmod(0o755)
    for name in _PROBES:
        if (root / name).is_file() and not (root / name).is_symlink():
            _mount("--bind", str(probe), str(root / name))


def _step(step: dict[str, Any], root: Path) -> dict[str, Any]:
    argv = [part.replace("{root}", str(root)) for part in step["argv"]]
    try:
        done = subprocess.run(
            argv if step["outside"] else ["chroot", str(root), *argv],
            env={**os.environ, "HOME": "/root", "TERM": "dumb"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_STEP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"status": 124, "output": f"did not come to its end in {_STEP_SECONDS} s"}
    return {"status": done.returncode, "output": done.stdout}


def _mount(*arguments: str) -> None:
    _run("mount", *arguments)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv[:1])}: {done.stderr.strip()}")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
