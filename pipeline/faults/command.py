"""What the task `faults` does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pipeline.errors import ExitCode
from pipeline.faults import booting, linting, report
from pipeline.faults.judge import Booted, Linted, Mark, Shown
from pipeline.faults.loader import read_all
from pipeline.faults.score import Score
from pipeline.report.problems import shown

_GOOD = {Mark.CAUGHT, Mark.GOOD, Shown.AS_STATED}
_LAB = {Shown.LAB_FAULT, Shown.NO_VERDICT}


def run(
    console: Console,
    *,
    lint: bool,
    boot: bool,
    only: Sequence[str],
    workers: int,
    output: Path,
    target: Path | None,
    options: Sequence[str],
) -> ExitCode:
    """Lint and boot the catalogue or the faults in `only`, and print what is not as stated, and the score.

    The runs go to `output`, the report to `target` where there is one. Raises BadInput where a fault's file or an
    option is wrong.
    """
    catalogue = read_all(only)
    if target:
        report.check(target)
    linted, good, booted = [], [], []
    started = time.monotonic()
    if lint:
        for one in linting.faults(catalogue):
            linted.append(one)
            _print_lint(console, one)
        for one in () if only else linting.good_scenarios():
            good.append(one)
            _print_lint(console, one)
    between = time.monotonic()
    if boot:
        for shown_one in booting.faults(catalogue, output, workers=workers, options=options):
            booted.append(shown_one)
            _print_boot(console, shown_one)
    score = Score(
        linted=tuple(linted),
        good=tuple(good),
        booted=tuple(booted),
        lint_seconds=between - started,
        boot_seconds=time.monotonic() - between,
    )
    if target:
        report.write(score, catalogue, target)
    for line in score.lines():
        console.print(line, highlight=False, soft_wrap=True)
    return score.exit_code


def _print_lint(console: Console, one: Linted) -> None:
    if one.mark not in _GOOD:
        console.print(f"[red]{shown(one.name)}[/]: {one.mark.value}: {shown(one.said)}", soft_wrap=True)


def _print_boot(console: Console, one: Booted) -> None:
    colour = "green" if one.shown in _GOOD else "magenta" if one.shown in _LAB else "red"
    said = one.said or ", ".join(one.failed)
    console.print(
        f"[{colour}]{shown(one.name)}[/]: {one.shown.value}: {shown(said)} in {one.seconds:.0f} s",
        highlight=False,
        soft_wrap=True,
    )
