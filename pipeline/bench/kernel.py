"""A bare kernel with a tiny initramfs: the floor of what boots, and what emulated functions are measured on."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pipeline.errors import LabFault
from pipeline.lab import cache, kernel_proof
from pipeline.lab.device.function import FunctionSpec
from pipeline.lab.image import HostImage
from pipeline.lab.run_directory import run_directory
from pipeline.lab.servers import device_server
from pipeline.lab.toolchain import Qemu


def bare_kernel(
    qemu: Qemu, image: HostImage, machine: Sequence[str], functions: Sequence[FunctionSpec]
) -> float:
    """Seconds to its power-off on `machine`, with `functions` served. Raises LabFault where it does not come to it."""
    with run_directory(cache.runs()) as run, device_server(functions, run=run):
        started = time.perf_counter()
        problem = kernel_proof.boot_tiny(qemu, image, machine, seconds=120, folder=run.path)
        if problem:
            raise LabFault(f"a bare kernel did not run: {problem}")
        return time.perf_counter() - started
