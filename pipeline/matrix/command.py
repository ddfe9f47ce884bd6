"""What the task `matrix` does."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from pipeline import scenario as scenarios
from pipeline.errors import BadInput, ExitCode
from pipeline.matrix import answer, baseline, comparison, pool, question, report
from pipeline.matrix.baseline import Baseline
from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.found import Found
from pipeline.matrix.inside import lanes_of
from pipeline.matrix.job import Job, dryboot
from pipeline.matrix.journal import Journal
from pipeline.matrix.options import Options
from pipeline.matrix.proposal import propose
from pipeline.matrix.question import Question
from pipeline.matrix.result import CellResult
from pipeline.matrix.selection import select, shard, words_of_qemu
from pipeline.matrix.stock import Stock, chosen, stock
from pipeline.plan import resolve
from pipeline.report import diff
from pipeline.report.problems import shown
from pipeline.scenario.document import read_text

LANES = "pipeline.matrix.lanes:LANES"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """A scenario: its text, what places call its file, and where that is; its name and its machine type."""

    text: str
    file: str
    path: Path
    name: str
    machine: str


def run(
    options: Options, console: Console, *, base: Path, lanes: str = LANES, source: Stock = stock
) -> ExitCode:
    """Run the cells, or merge the results of shards, compare, answer, and write the report.

    Paths are relative to `base`. Raises BadInput before anything runs; a fault of the lab in a cell is a result.
    """
    options.check()
    asked = _asked(options, base)
    output = base / (options.output or f"build/matrix/{asked.name}")
    target = base / options.report if options.report else output / "report"
    report.check(target)
    kept = baseline.read_all(baseline.folder(asked.path))
    if options.against:
        baseline.reference(Cell(qemu="", machine=asked.machine, lane=Lane.FAST), kept, options.against)
    if options.merge:
        whole, results = question.merged([base / folder for folder in options.merge.split(",")])
        if whole.asked != question.asked(asked.text, options.settings):
            raise BadInput(
                f"{options.merge} is of another scenario than {asked.file}", hint="--scenario NAME"
            )
    else:
        whole, results = _results(options, asked, output, console, lanes, source)
    found = _found(whole, results, kept, options)
    if options.accept:
        found = _accept(console, found, asked)
    proposal = _proposal(console, found, asked) if options.propose else {}
    report.write(found, target, proposal)
    report.show(console, found, report=str(target))
    return found.exit_code


def _asked(options: Options, base: Path) -> _Asked:
    """Raises BadInput where the scenario cannot be used as it is, with its settings."""
    path = scenarios.find(options.scenario, base=base)
    file = scenarios.called(options.scenario)
    text = read_text(path, shown=file, what="scenario")
    plan = resolve(scenarios.loads(text, file=file, settings=options.settings))
    machine = plan.guest.machine.value
    return _Asked(text=text, file=file, path=path, name=plan.name, machine=machine)


def _results(
    options: Options, asked: _Asked, output: Path, console: Console, lanes: str, source: Stock
) -> tuple[Question, tuple[CellResult, ...]]:
    """The whole question, and the results of its cells, or of those of the shard that is asked for."""

    def say(text: str) -> None:
        console.print(shown(text), style="dim", highlight=False, soft_wrap=True)

    names = words_of_qemu(options.qemu) if options.qemu else ()
    releases = {one.qemu: one for one in source(names, say)}
    selection = select(
        [chosen(one) for one in releases.values()],
        own=asked.machine,
        machines=options.machines,
        lane=options.lane,
    )
    needs = _needs(selection.cells, lanes)
    jobs = [_job(cell, options, asked, needs[cell.qemu, cell.lane]) for cell in selection.cells]
    whole = Question(
        scenario=asked.name,
        asked=question.asked(asked.text, options.settings),
        dryboot=dryboot(),
        selection=selection,
        releases=releases,
        needs={name: digest for one in needs.values() for name, digest in one.items()},
        keys={job.cell.name: job.key for job in jobs},
    )
    if options.shard:
        mine = set(selection.shard(*shard(options.shard)))
        jobs = [job for job in jobs if job.cell in mine]
    journal = Journal(output / question.CELLS)
    with journal.held():
        question.write(output, whole)
        results = _run(jobs, options, journal, console, lanes)
    return whole, results


def _needs(cells: Sequence[Cell], lanes: str) -> dict[tuple[str, Lane], Mapping[str, str]]:
    """What each lane needs of each release; prepares what is not there."""
    there = lanes_of(lanes)
    wanted = dict.fromkeys((cell.qemu, cell.lane) for cell in cells)
    for _, lane in wanted:
        if lane not in there:
            raise BadInput(f"the {lane.value} lane is not there yet", hint="--lane fast")
    return {(qemu, lane): there[lane].needs(qemu) for qemu, lane in wanted}


def _job(cell: Cell, options: Options, asked: _Asked, needs: Mapping[str, str]) -> Job:
    return Job(
        cell=cell,
        scenario=asked.text,
        file=asked.file,
        settings=options.settings,
        deadline=options.deadline_of(cell.lane),
        dryboot=dryboot(),
        needs=needs,
        accelerator=options.accelerator,
    )


def _run(
    jobs: Sequence[Job], options: Options, journal: Journal, console: Console, lanes: str
) -> tuple[CellResult, ...]:
    """The results in the order of the jobs: what the journal has, then what is run now."""
    keys = {job.cell: job.key for job in jobs}
    progress = report.Progress(console, len(jobs))
    known: dict[Cell, CellResult] = {}
    for cell, key in keys.items():
        before = None if options.fresh else journal.finished(key, cell.name)
        if before:
            known[cell] = before
            progress.ended(before, before=True)
    left = [job for job in jobs if job.cell not in known]
    if left:
        with closing(_running(left, options, lanes)) as results:
            for result in results:
                journal.write(keys[result.cell], result)
                known[result.cell] = result
                progress.ended(result)
    return tuple(known[job.cell] for job in jobs)


def _running(jobs: Sequence[Job], options: Options, lanes: str) -> Generator[CellResult, None, None]:
    if not options.scheduler:
        return pool.run(jobs, lanes=lanes, at_once=options.jobs)
    from pipeline.matrix import cluster

    return cluster.run(jobs, scheduler=options.scheduler, lanes=lanes)


def _found(
    whole: Question, results: tuple[CellResult, ...], kept: Sequence[Baseline], options: Options
) -> Found:
    releases = whole.releases
    return Found(
        question=whole,
        results=results,
        comparisons=comparison.compare_all(results, kept, releases, reference=options.against),
        types=tuple(comparison.compare_types(before, after) for before, after in pairwise(releases.values())),
        answer=None if options.shard else answer.answer(whole.selection.own, results, releases),
    )


def _accept(console: Console, found: Found, asked: _Asked) -> Found:
    """Make the results the baselines of the scenario; what the lab failed at stays as it was."""
    folder = baseline.folder(asked.path)
    accepted = [one for one in map(baseline.of, found.results) if one]
    changed = baseline.write(folder, accepted)
    text = f"accepted {len(accepted)} cells, {len(changed)} of them changed: {folder}"
    console.print(shown(text), highlight=False, soft_wrap=True)
    return replace(found, accepted=True)


def _proposal(console: Console, found: Found, asked: _Asked) -> dict[str, str]:
    """The files with the newest machine type that is safe on every QEMU of the matrix; the difference is shown."""
    machine = found.answer and (found.answer.everywhere or found.answer.safe)
    if not machine:
        console.print("no machine type of this matrix is safe, so none is proposed", style="yellow")
        return {}
    proposed = propose(asked.text, file=asked.file, machine=machine)
    if not proposed.changes:
        console.print(f"{shown(machine)} is what the scenario has: nothing to change", highlight=False)
        return {}
    diff.show(console, proposed.file, proposed.old, proposed.new, change="proposed")
    diff.show(console, proposed.domain, proposed.old_domain, proposed.new_domain, change="proposed")
    return {
        Path(proposed.file).name: proposed.new,
        Path(proposed.domain).name: proposed.new_domain,
    }
