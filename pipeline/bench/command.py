"""What the task `bench` does: every pair, in a table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline import scenario as scenarios
from pipeline.bench import device, matrix
from pipeline.bench.kernel import bare_kernel
from pipeline.bench.pair import Pair, paired
from pipeline.errors import ExitCode, LabFault
from pipeline.lab import accel, board, kernel_proof, toolchain
from pipeline.lab.image import debian
from pipeline.lab.machine import hardware
from pipeline.plan import resolve
from pipeline.render import Inputs, render
from pipeline.verdict import Listener
from pipeline.verify import verify

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
_BUILD_REPEATS = 5


def show(console: Console, *, runs: int, scenario: str) -> ExitCode:
    """Print every pair; a ratio over its limit fails."""
    with console.status("measuring"):
        pairs = [*_pairs(runs, scenario)]
    table = Table("pair", "ours", "floor", "unit", "ratio", "limit", show_edge=False)
    for pair in pairs:
        limit = f"{pair.limit:g}" if pair.limit else ""
        table.add_row(
            pair.name, f"{pair.ours:.3g}", f"{pair.floor:.3g}", pair.unit, f"{pair.ratio:.2f}", limit
        )
    console.print(table)
    over = [pair for pair in pairs if pair.limit and pair.ratio > pair.limit]
    return ExitCode.FAILED if over else ExitCode.HELD


def _pairs(runs: int, scenario: str) -> Sequence[Pair]:
    pairs = []
    if shutil.which("virt-install"):
        pairs.append(_build_pair(scenario, max(runs, _BUILD_REPEATS)))
    else:
        raise LabFault(
            "virt-install is not installed", hint="it is the floor of the first pair (package virtinst)"
        )
    pairs.append(_lint_pair(scenario, max(runs, _BUILD_REPEATS)))
    pairs += _host_pairs(scenario, runs)
    pairs += device.pairs(scenario, max(runs, _BUILD_REPEATS))
    pairs.append(matrix.pair(scenario, max(runs, _BUILD_REPEATS)))
    return pairs


def _timed(argv: Sequence[str]) -> float:
    # A package brings its modules compiled, a checkout's are compiled by its first run, unless this forbids it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    done = subprocess.run(argv, cwd=_CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabFault(f"{argv[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-500:]}")
    return time.perf_counter() - started


def _build_pair(scenario: str, runs: int) -> Pair:
    """`build` as a process against virt-install writing a comparable domain, as a process."""
    with tempfile.TemporaryDirectory(prefix="dryboot-bench-") as folder:
        invoke = str(Path(sys.executable).with_name("invoke"))
        build = [invoke, "build", "--scenario", scenario, "--output", f"{folder}/out"]
        # The test driver has no machine types; everything else is what the rendered domain has.
        floor = [
            *("virt-install", "--connect", "test:///default", "--print-xml", "--import", "--name", "win10"),
            *(
                "--memory",
                "8192",
                "--vcpus",
                "4",
                "--osinfo",
                "win10",
                "--graphics",
                "none",
                "--disk",
                "none",
            ),
            *("--network", "none"),
        ]
        _timed(build)
        ours, least = paired(runs, lambda: _timed(build), lambda: _timed(floor))
    return Pair(
        name="build / virt-install --print-xml",
        ours=ours,
        floor=least,
        unit="s",
        ratio=ours / least,
        limit=1.0,
    )


def _lint_pair(scenario: str, runs: int) -> Pair:
    """Linting a scenario and printing what was found against loading and planning it, each as a process."""
    load = (
        "from pipeline import plan, scenario; from pipeline.setup.from_plan import from_plan; "
        f"loaded = scenario.read({scenario!r}); from_plan(plan.resolve(loaded), loaded)"
    )
    lint = f"from pipeline import commands as c; c.lint(c.LintOptions(scenarios=({scenario!r},)))"
    ours, least = paired(
        runs, lambda: _timed([sys.executable, "-c", lint]), lambda: _timed([sys.executable, "-c", load])
    )
    return Pair(name="lint / load", ours=ours, floor=least, unit="s", ratio=ours / least, limit=1.4)


def _host_pairs(scenario: str, runs: int) -> Sequence[Pair]:
    """The host stage against the same machine and kernel with a tiny initramfs, to power-off.

    Both ways to boot it; each takes what an evening's next run takes: the files changed, everything else cached.
    """
    qemu = toolchain.find(lambda _: None)
    image = debian.image(lambda _: None)
    chosen = accel.choose(None, lambda: kernel_proof.remembered_kvm_problem(qemu, image))
    plan = resolve(scenarios.read(scenario))
    bundle = render(plan, inputs=Inputs(scenario=b""))
    layout = board.lay_out(plan)
    machine = hardware(layout, accelerator=chosen.l1, cpu_vendor=plan.host.cpu_vendor)

    def floor() -> float:
        return bare_kernel(qemu, image, machine, layout.emulated)

    def ours(fast: bool) -> float:
        with tempfile.TemporaryDirectory(prefix="dryboot-bench-") as folder:
            verdict = verify(
                plan,
                bundle,
                findings=(),
                accelerator=chosen.l1,
                logs=Path(folder),
                listener=Listener(),
                fast=fast,
                guest_too=False,
            )
        if verdict.fault:
            raise LabFault(verdict.fault)
        return sum(verdict.times[part] for part in ("apply", "disks", "host stage"))

    found = []
    for name, fast, limit in (("host stage", False, 5.0), ("host stage --fast", True, 3.0)):
        taken, least = paired(runs, partial(ours, fast), floor)
        found.append(
            Pair(
                name=f"{name} / bare kernel on the same machine ({chosen.l1})",
                ours=taken,
                floor=least,
                unit="s",
                ratio=taken / least,
                limit=limit,
            )
        )
    return found
