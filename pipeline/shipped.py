"""Verifies every shipped scenario and compares each verdict with what its file states."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from pipeline import scenario as scenarios
from pipeline.errors import ExitCode
from pipeline.scenario.loader import SHIPPED
from pipeline.verdict import Compared

_CHECKOUT = Path(__file__).resolve().parent.parent
# What a run takes at its peak, with room to spare (measured: 1.6 GiB).
_MEMORY = 3 << 30


def names() -> tuple[str, ...]:
    """The shipped scenarios."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def workers() -> int:
    """How many runs this machine takes at once."""
    return max(1, min(2, os.cpu_count() or 1, psutil.virtual_memory().available // _MEMORY))


def verify_all(output: Path, options: Sequence[str]) -> Iterator[Compared]:
    """Verify the shipped scenarios, their bundles and reports in `output`/NAME; each as soon as it is done.

    A scenario that shows a mistake is booted although lint names it.
    """
    with ThreadPoolExecutor(workers()) as pool:
        yield from pool.map(lambda name: _verify(name, output / name, options), names())


def _verify(name: str, output: Path, options: Sequence[str]) -> Compared:
    invoke = str(Path(sys.executable).with_name("invoke"))
    argv = [invoke, "verify", "--scenario", name, "--output", str(output), "--no-lint", *options]
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.with_suffix(".log").open("wb") as log:
        done = subprocess.run(
            argv, cwd=_CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False
        )
    failing = {one.check: one.because for one in scenarios.read(name).scenario.expect.failing}
    try:
        verdict = json.loads((output / "report/verdict.json").read_text())
    except (OSError, ValueError):
        verdict = {"checks": [], "seconds": {}}
    failed = tuple(check["id"] for check in verdict["checks"] if check["outcome"] == "failed")
    return Compared(
        name=name,
        status=done.returncode,
        seconds=float(verdict["seconds"].get("total", 0)),
        failing=failed,
        difference=difference(done.returncode, failed, tuple(failing)),
    )


def difference(status: int, failed: Sequence[str], wanted: Sequence[str]) -> str:
    """How a run differs from what its scenario states: the checks that must fail, or none."""
    if status not in {ExitCode.HELD, ExitCode.FAILED}:
        return f"no verdict: exit status {status}"
    missing = [one for one in wanted if one not in failed]
    if missing:
        return f"{', '.join(missing)} had to fail and did not"
    if not wanted and failed:
        return f"{', '.join(failed)} failed"
    return "" if bool(wanted) == bool(status) else f"exit status {status}"
