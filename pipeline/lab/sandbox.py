"""Runs the host's own tools on its file system, natively: in namespaces, over a tree that stays untouched.

Root of the tree is an overlay in a mount namespace of its own; nothing is mounted outside and nothing stays when
the processes end. Without root a user namespace is used, in which everything belongs to the caller.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab.overlay import Put
from pipeline.lab.run_directory import RunDirectory

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
_INSIDE = "pipeline.lab.sandbox_inside"
_SECONDS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A command on the file system: in a change of root, or from outside with `{root}` for where it is."""

    argv: tuple[str, ...]
    outside: bool = False

    @property
    def shown(self) -> str:
        """The command as the owner would type it."""
        return " ".join(self.argv)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepDone:
    """How a step ended: exit status, and everything it printed."""

    status: int
    output: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Worked:
    """What the steps did: one outcome a step, and a directory with every file that is new or changed.

    `removed` are the paths (from `/`) that are gone.
    """

    outcomes: tuple[StepDone, ...]
    changed: Path
    removed: tuple[str, ...]


def work(
    tree: Path,
    files: Mapping[str, Put],
    steps: Sequence[Step],
    *,
    uuid: str,
    run: RunDirectory,
    removed: Sequence[str] = (),
    modaliases: Sequence[str] = (),
) -> Worked:
    """Put `files` (absolute paths) over `tree`, take `removed` out, and run `steps`, however each of them ends.

    `uuid` is that of the root file system, `modaliases` those of the hardware, as the tools shall find them.
    Raises LabFault where the machine does not
    let namespaces or an overlay be made.
    """
    own = run.path / "sandbox"
    put, changed = own / "put", own / "changed"
    for folder in (put, changed, own / "scratch"):
        folder.mkdir(parents=True)
    _lay_down(files, put)
    spec = {
        "tree": str(tree),
        "put": str(put),
        "scratch": str(own / "scratch"),
        "changed": str(changed),
        "removed": list(removed),
        "uuid": uuid,
        "modaliases": list(modaliases),
        "steps": [asdict(step) for step in steps],
        "result": str(own / "result.json"),
    }
    (own / "spec.json").write_text(json.dumps(spec))
    _unshare([sys.executable, "-m", _INSIDE, str(own / "spec.json")])
    result = json.loads((own / "result.json").read_text())
    shutil.rmtree(put)
    return Worked(
        outcomes=tuple(StepDone(status=one["status"], output=one["output"]) for one in result["outcomes"]),
        changed=changed,
        removed=tuple(result["removed"]),
    )


def _lay_down(files: Mapping[str, Put], folder: Path) -> None:
    for path, what in files.items():
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if what.link:
            target.symlink_to(what.link)
        else:
            target.write_bytes(what.source.read_bytes() if what.source else what.data)
            target.chmod(what.mode)


def _unshare(argv: Sequence[str]) -> None:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    try:
        done = subprocess.run(
            [
                *("setpriv", "--pdeathsig", "KILL", "--"),
                *("unshare", *user, "--mount", "--pid", "--net", "--fork", "--kill-child=KILL", "--", *argv),
            ],
            cwd=_CHECKOUT,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "PYTHONPATH": str(_CHECKOUT),
                "PYTHONDONTWRITEBYTECODE": "1",
                "LC_ALL": "C.UTF-8",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"the host's tools could not be run: {error}") from error
    if done.returncode:
        raise LabFault(
            f"the host's tools could not be run: {(done.stderr or done.stdout).strip()[-800:]}",
            hint="namespaces and an overlay are needed: as root, or where user namespaces are allowed",
        )
