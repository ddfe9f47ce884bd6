"""Puts files into a copy of L1's file system, without mounting it.

Source: debugfs(8) of e2fsprogs; it exits 0 whatever happens, so what it says is looked at.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import LabFault


@dataclass(frozen=True, kw_only=True, slots=True)
class Put:
    """Contents for a path: a file with permission bits, or a symbolic link where `link` says the target."""

    data: bytes = b""
    mode: int = 0o644
    link: str = ""


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a disk image with its holes, by reference where the file system can."""
    done = subprocess.run(
        ["cp", "--sparse=always", "--reflink=auto", "--", str(source), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabFault(f"cannot copy the L1 image: {done.stderr.strip()}")


def put(image: Path, files: Mapping[str, Put], *, scratch: Path) -> None:
    """Write `files` (absolute paths in L1) into the ext4 `image`, replacing what is there.

    `scratch` is a directory for the contents on their way. Raises LabFault with what debugfs says.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    commands: list[str] = []
    known: set[str] = set()
    for number, (path, what) in enumerate(sorted(files.items())):
        if any(character in path for character in ' "\n\\') or not path.startswith("/"):
            raise LabFault(f"cannot put {path!r} into the L1 image")
        parts = path.strip("/").split("/")
        for length in range(1, len(parts)):
            parent = "/" + "/".join(parts[:length])
            if parent not in known:
                known.add(parent)
                commands.append(f"mkdir {parent}")
        commands.append(f"rm {path}")
        if what.link:
            commands.append(f"symlink {path} {what.link}")
            continue
        source = scratch / str(number)
        source.write_bytes(what.data)
        commands.append(f"write {scratch.name}/{number} {path}")
        commands += [
            f"set_inode_field {path} mode 0{0o100000 | what.mode:o}",
            f"set_inode_field {path} uid 0",
            f"set_inode_field {path} gid 0",
        ]
    script = scratch / "commands"
    script.write_text("\n".join(commands) + "\n")
    try:
        done = subprocess.run(
            ["debugfs", "-w", "-f", str(script), str(image)],
            cwd=scratch.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"debugfs: {error}") from error
    expected = ("debugfs ", "Ext2 file already exists", "File not found by ext2_lookup", "already exists")
    wrong = [
        line
        for line in done.stderr.splitlines()
        if line.strip() and not any(word in line for word in expected)
    ]
    if wrong or done.returncode:
        raise LabFault("debugfs: " + "; ".join(wrong[:5]))
