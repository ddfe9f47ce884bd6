"""Measures the emulated functions: accesses through QEMU, and what two of them add to a boot."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence

from pipeline import scenario as scenarios
from pipeline.bench.kernel import bare_kernel
from pipeline.bench.pair import Pair, paired
from pipeline.lab import accel, board, cache, kernel_proof, meter, toolchain
from pipeline.lab.device.client import measure_config_reads, measure_echo_floor
from pipeline.lab.image import debian
from pipeline.lab.machine import hardware
from pipeline.lab.run_directory import run_directory
from pipeline.lab.servers import device_server
from pipeline.plan import resolve

# Accesses a second that are asked for.
WANTED = 20_000
_READ_SECONDS = 1.0


def pairs(scenario: str, runs: int) -> Iterator[Pair]:
    """Every pair of this module, each over `runs` turns."""
    yield _reads_pair(scenario, runs)
    yield from _qemu_pairs(runs)
    yield _boot_pair(scenario, runs)


def _reads_pair(scenario: str, runs: int) -> Pair:
    """Configuration reads of an emulated function against a bare echo over the same kind of socket."""
    specs = board.lay_out(resolve(scenarios.read(scenario))).emulated
    with run_directory(cache.runs()) as run, device_server(specs, run=run):
        path = run.path / f"{specs[0].name}.sock"
        ours, least = paired(
            runs, lambda: measure_config_reads(path, _READ_SECONDS), lambda: measure_echo_floor(_READ_SECONDS)
        )
    return Pair(name="config reads / echo", ours=ours, floor=least, unit="1/s", ratio=least / ours, limit=0.0)


def _qemu_pairs(runs: int) -> Sequence[Pair]:
    """What a guest reaches: against what is asked for, and against a server that does nothing else."""
    qemu = toolchain.find(lambda _: None)

    def rates(how: Callable[..., meter.Rates]) -> meter.Rates:
        with run_directory(cache.runs()) as run:
            return how(qemu, run=run)

    turns = [(rates(meter.measure_floor), rates(meter.measure)) for _ in range(runs)]
    config = statistics.median(ours.config for _, ours in turns)
    floor = statistics.median(least.config for least, _ in turns)
    mapped = statistics.median(ours.mapped for _, ours in turns)
    register = statistics.median(ours.register for _, ours in turns)
    return [
        _rate("config reads through QEMU / of a server with one answer", config, floor, 1.4),
        _rate("config reads through QEMU / asked for", config, WANTED, 1.0),
        _rate("mapped BAR through QEMU / asked for", mapped, WANTED, 1.0),
        _rate("register page through QEMU / asked for", register, WANTED, 0.0),
    ]


def _rate(name: str, ours: float, floor: float, limit: float) -> Pair:
    return Pair(name=name, ours=ours, floor=floor, unit="1/s", ratio=floor / ours, limit=limit)


def _boot_pair(scenario: str, runs: int) -> Pair:
    """The board with its emulated functions, and without them, to the power-off of a bare kernel.

    The best of each, not the median: what else a machine does only adds to a time, and more than the twentieth
    that is asked about.
    """
    qemu = toolchain.find(lambda _: None)
    image = debian.image(lambda _: None)
    chosen = accel.choose(None, lambda: kernel_proof.remembered_kvm_problem(qemu, image))
    plan = resolve(scenarios.read(scenario))
    layout = board.lay_out(plan)
    full = hardware(layout, accelerator=chosen.l1, cpu_vendor=plan.host.cpu_vendor)
    bare = [*without_functions(full)]

    def boot(machine: Sequence[str]) -> float:
        return bare_kernel(qemu, image, machine, layout.emulated)

    turns = [(boot(bare), boot(full)) for _ in range(runs)]
    least, ours = min(turn[0] for turn in turns), min(turn[1] for turn in turns)
    count = len(layout.emulated)
    return Pair(
        name=f"boot with {count} emulated functions / without ({chosen.l1})",
        ours=ours,
        floor=least,
        unit="s",
        ratio=ours / least,
        limit=1.05,
    )


def without_functions(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments of a machine without its emulated functions."""
    for option, value in itertools.pairwise([*arguments, ""]):
        if option == "-device" and '"vfio-user-pci"' in value:
            continue
        if '"vfio-user-pci"' not in option:
            yield option
