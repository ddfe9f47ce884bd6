"""The tasks `matrix`, `worker`, `ci` and `qemu`."""

from __future__ import annotations

from typing import Any

from pipeline.commands.numbers import number
from pipeline.commands.places import base
from pipeline.errors import BadInput, ExitCode


def matrix(*, jobs: str | int, deadline: str | int, **options: Any) -> ExitCode:
    """Run the domain on QEMU releases and machine types; `options` as pipeline.matrix.options has them."""
    from rich.console import Console

    from pipeline.matrix import command
    from pipeline.matrix.options import Options

    asked = Options(**options, jobs=number("--jobs", jobs), deadline=number("--deadline", deadline))
    return command.run(asked, Console(), base=base())


def worker(scheduler: str, jobs: str | int) -> ExitCode:
    """Become a worker of a cluster."""
    from pipeline.matrix import worker

    worker.run(scheduler, at_once=number("--jobs", jobs))


def ci(host: str, output: str, *, shards: str | int, **options: Any) -> ExitCode:
    """Write a pipeline for the code host `host` that spreads a matrix over runners."""
    from pipeline import ci
    from pipeline.report.output import output as written

    text = ci.pipeline(host, ci.Options(**options, shards=number("--shards", shards)))
    with written(base() / output if output else None) as write:
        write(text)
    return ExitCode.HELD


def qemu(show: bool, add: str, remove: str) -> ExitCode:
    """Show, add or remove QEMU releases."""
    from rich.console import Console

    from pipeline.lab import releases
    from pipeline.report import releases as report

    if (show, bool(add), bool(remove)).count(True) > 1:
        raise BadInput("--list, --add and --remove do not go together", hint="one after the other")
    console = Console()
    if add:
        release = releases.add(add, base=base(), progress=console.print)
        console.print(report.added(release), highlight=False, markup=False)
    elif remove:
        releases.remove(remove)
        console.print(f"{remove}: removed", highlight=False, markup=False)
    else:
        with console.status("looking at the releases"):
            found = releases.listing(lambda _: None)
        console.print(report.table(found))
    return ExitCode.HELD
