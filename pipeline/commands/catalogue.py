"""The task `faults`."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.commands.numbers import number
from pipeline.commands.places import base
from pipeline.errors import BadInput, ExitCode


def faults(
    lint: bool, boot: bool, only: Iterable[str], jobs: str | int, output: str, report: str, accelerator: str
) -> ExitCode:
    """Lint and boot the catalogue of faults; fails where one is not caught as its file states."""
    from rich.console import Console

    from pipeline.faults import command
    from pipeline.lab import accel

    if not lint and not boot:
        lint = boot = True
    at_once = number("--jobs", jobs)
    if not 0 <= at_once <= 64:
        raise BadInput(f"cannot boot {jobs} faults at once", hint="--jobs 2")
    accel.checked(accelerator)
    return command.run(
        Console(),
        lint=lint,
        boot=boot,
        only=tuple(only),
        workers=at_once,
        output=base() / (output or "build/faults"),
        target=base() / report if report else None,
        options=("--accel", accelerator) if accelerator else (),
    )
