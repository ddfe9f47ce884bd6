"""Puts files into a copy of L1's file system, without mounting it.

Source: debugfs(8) of e2fsprogs; it exits 0 whatever happens, so what it says is looked at.
"""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.errors import LabFault

# What debugfs would not take inside a quoted argument.
_UNSAFE = re.compile(r'["\\\x00-\x1f\x7f\x85\u2028\u2029]')
_NOT_FOUND = ": File not found by ext2_lookup"


@dataclass(frozen=True, kw_only=True, slots=True)
class Put:
    """Contents for a path: a file with permission bits, or a symbolic link where `link` says the target.

    The contents are `data`, or those of the file `source`.
    """

    data: bytes = b""
    mode: int = 0o644
    link: str = ""
    source: Path | None = None


def of_tree(folder: Path) -> dict[str, Put]:
    """Every file and symbolic link below `folder`, by its path from there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = f"/{path.relative_to(folder).as_posix()}"
        if path.is_symlink():
            found[name] = Put(link=str(path.readlink()))
        elif path.is_file():
            found[name] = Put(source=path, mode=stat.S_IMODE(path.stat().st_mode))
    return found


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a disk image with its holes, by reference where the file system can."""
    done = subprocess.run(
        ["cp", "--sparse=auto", "--reflink=auto", "--", str(source), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabFault(f"cannot copy the L1 image: {done.stderr.strip()}")


def put(image: Path, files: Mapping[str, Put], *, scratch: Path, removed: Iterable[str] = ()) -> None:
    """Write `files` (absolute paths in L1) into the ext4 `image`, replacing what is there; take `removed` out.

    `scratch` is a directory for the contents on their way. Raises LabFault with what debugfs says.
    """
    gone = set(removed) - set(files)
    for path, what in [*files.items(), *((path, Put()) for path in gone)]:
        if _UNSAFE.search(f"{path}{what.link}{what.source or ''}") or not path.startswith("/"):
            raise LabFault(f"cannot put {path!r} into the L1 image")
    scratch.mkdir(parents=True, exist_ok=True)
    parents = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"/"}
    missing = _missing(image, {*parents, *files, *gone}, scratch)
    # mkdir of a directory that is there would leave a second one without a name.
    commands = [f'mkdir "{parent}"' for parent in sorted(parents & missing)]
    commands += [f'rm "{path}"' for path in sorted(gone - missing)]
    for number, (path, what) in enumerate(sorted(files.items())):
        if path not in missing:
            commands.append(f'rm "{path}"')
        if what.link:
            commands.append(f'symlink "{path}" "{what.link}"')
            continue
        source = str(what.source) if what.source else f"{scratch.name}/{number}"
        if what.source is None:
            (scratch / str(number)).write_bytes(what.data)
        commands += [
            f'write "{source}" "{path}"',
            f'set_inode_field "{path}" mode 0{0o100000 | what.mode:o}',
            f'set_inode_field "{path}" uid 0',
            f'set_inode_field "{path}" gid 0',
        ]
    if wrong := _debugfs(image, commands, scratch, "-w"):
        raise LabFault("debugfs: " + "; ".join(wrong[:5]))


def identify(image: Path, root: str, *, scratch: Path) -> None:
    """Give the file system the UUID or label of `root`, such as UUID=... or LABEL=... of a kernel command line.

    Nothing else changes: the image has no checksums that depend on the UUID (mke2fs -O ^metadata_csum).
    """
    kind, _, value = root.partition("=")
    field = {"UUID": "uuid", "LABEL": "volume_name"}[kind]
    if wrong := _debugfs(image, [f"set_super_value {field} {value}"], scratch, "-w"):
        raise LabFault("debugfs: " + "; ".join(wrong[:5]))


def _missing(image: Path, paths: Set[str], scratch: Path) -> set[str]:
    """Those of `paths` that the file system does not have."""
    said = _debugfs(image, [f'stat "{path}"' for path in sorted(paths)], scratch)
    missing = {line.removesuffix(_NOT_FOUND) for line in said if line.endswith(_NOT_FOUND)}
    if wrong := [line for line in said if not line.endswith(_NOT_FOUND)]:
        raise LabFault("debugfs: " + "; ".join(wrong[:5]))
    return missing & paths


def _debugfs(image: Path, commands: Sequence[str], scratch: Path, *options: str) -> list[str]:
    """Run commands on the image; what debugfs complains of."""
    script = scratch / "commands"
    script.write_text("\n".join(commands) + "\n")
    try:
        done = subprocess.run(
            ["debugfs", *options, "-f", str(script), str(image)],
            cwd=scratch.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"debugfs: {error}") from error
    lines = [line.strip() for line in done.stderr.splitlines()]
    wrong = [line for line in lines if line and not line.startswith("debugfs ")]
    return wrong or ([f"ended with {done.returncode}"] if done.returncode else [])
