"""What each task does, with its output; the exit status is the return value.

A task imports what it needs when it runs: the others do not pay for it.
"""

from pipeline.commands.building import build
from pipeline.commands.catalogue import faults
from pipeline.commands.ending import end
from pipeline.commands.linting import LintOptions, docs, lint
from pipeline.commands.machines import ci, matrix, qemu, worker
from pipeline.commands.others import bench, doctor, schema
from pipeline.commands.verifying import ImageOptions, verify, verify_all

__all__ = [
    "ImageOptions",
    "LintOptions",
    "bench",
    "build",
    "ci",
    "docs",
    "doctor",
    "end",
    "faults",
    "lint",
    "matrix",
    "qemu",
    "schema",
    "verify",
    "verify_all",
    "worker",
]
