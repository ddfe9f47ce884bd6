"""What each task does, with its output; the exit status is the return value."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pipeline.collector import at_rest
from pipeline.errors import BadInput, DrybootError, ExitCode, LabFault


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """The options of verify that say what the host is made of, as they were written."""

    image: str = ""
    mirror: str = ""
    keyring: str = ""
    locked: str = ""


def end(command: Callable[..., ExitCode], *arguments: Any) -> NoReturn:
    """Run a command and leave with its exit status; every error is one message without a traceback."""
    # mke2fs and debugfs are there on every distribution, but not on every user's path.
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
    # SIGINT too: in the background of a script it is ignored unless it is asked for.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        status = command(*arguments)
    except DrybootError as error:
        _say(error)
        status = error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = ExitCode.INTERRUPTED
    except Exception as error:
        # Ours, whatever it is: status 1 would say that the scenario fails.
        traceback.print_exc()
        _say(LabFault(f"a mistake in Dryboot itself: {error!r}"))
        status = ExitCode.LAB_FAULT
    sys.stdout.flush()
    sys.exit(int(status))


def _say(error: DrybootError) -> None:
    from rich.console import Console

    from pipeline.report import problems

    problems.error(Console(stderr=True), error)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _base() -> Path:
    """The directory that relative paths mean: where the user was."""
    return Path(os.environ.get("DRYBOOT_CWD") or Path.cwd())


def _load(scenario: str, settings: Iterable[str]) -> tuple[Any, Any, Path]:
    from pipeline import scenario as scenarios
    from pipeline.plan import resolve

    loaded = scenarios.read(scenario, base=_base(), settings=tuple(settings))
    return loaded, resolve(loaded), scenarios.find(scenario, base=_base())


def _output(name: str, output: str) -> Path:
    return _base() / (output or f"build/{name}")


@at_rest()
def lint(scenario: str, settings: Iterable[str], as_json: bool) -> ExitCode:
    """Print the findings; errors make it fail."""
    from rich.console import Console

    from pipeline.lint import Severity
    from pipeline.lint import lint as run_lint
    from pipeline.report import as_json as json_report
    from pipeline.report import problems
    from pipeline.setup.from_plan import from_plan

    loaded, plan, _ = _load(scenario, settings)
    found = run_lint(from_plan(plan, loaded))
    if as_json:
        import json

        print(json.dumps([json_report.finding(one) for one in found], indent=2, ensure_ascii=False))
    else:
        console = Console()
        problems.findings(console, found)
        counts = [f"{sum(one.severity is kind for one in found)} {kind.value}s" for kind in Severity]
        console.print(f"{plan.name}: {', '.join(counts)}", highlight=False)
    return ExitCode.FAILED if any(one.severity is Severity.ERROR for one in found) else ExitCode.HELD


@at_rest()
def _build(scenario: str, output: str, settings: Iterable[str], refuse: bool) -> Any:
    """Lint, render, validate, write; the plan, the bundle, the findings and where it was written."""
    from rich.console import Console

    from pipeline.errors import ScenarioFails
    from pipeline.lint import Severity
    from pipeline.lint import lint as run_lint
    from pipeline.render import Inputs, render, write
    from pipeline.render.bundle import domain_path
    from pipeline.render.validate import Status, validate
    from pipeline.report import problems
    from pipeline.setup.from_plan import from_plan

    settings = tuple(settings)
    loaded, plan, path = _load(scenario, settings)
    found = run_lint(from_plan(plan, loaded))
    console = Console()
    problems.findings(console, found)
    if refuse and any(one.severity is Severity.ERROR for one in found):
        raise ScenarioFails(f"{plan.name} has errors, nothing was written", hint="mend the lines named above")
    bundle = render(plan, inputs=Inputs(scenario=path.read_bytes(), settings=settings))
    for validation in validate(bundle.files[domain_path(plan)]):
        console.print(
            f"{validation.subject}: {validation.status.value} {validation.version} {validation.note}".rstrip(),
            style="dim",
            highlight=False,
            soft_wrap=True,
        )
        if validation.status is Status.FAILED:
            listed = "\n".join(f"  line {one.line}: {one.message}" for one in validation.problems)
            raise ScenarioFails(f"the domain XML is not valid for {validation.subject}:\n{listed}")
    target = _output(plan.name, output)
    write(bundle, target)
    for name in bundle.files:
        console.print(f"{target}/{name}", highlight=False, soft_wrap=True)
    return plan, bundle, found, target


def build(scenario: str, output: str, settings: Iterable[str]) -> ExitCode:
    """Write the bundle of a scenario."""
    _build(scenario, output, settings, True)
    return ExitCode.HELD


def verify(
    scenario: str,
    output: str,
    report: str,
    settings: Iterable[str],
    accelerator: str,
    refuse: bool,
    fast: bool = False,
    edited: str = "",
    boot: str = "default",
    wanted: ImageOptions | None = None,
) -> ExitCode:
    """Build, boot, check; write the verdict."""
    from rich.console import Console

    from pipeline import verify as run
    from pipeline.report import as_json, files, junit, terminal

    if not scenario:
        raise BadInput("no scenario is named", hint="--scenario NAME, or --all for every shipped one")
    if boot not in {"default", "fallback"}:
        raise BadInput(f"there is no entry {boot!r} to boot", hint="--boot default or --boot fallback")
    if accelerator not in {"", "kvm", "tcg"}:
        raise BadInput(f"there is no accelerator {accelerator!r}", hint="--accel kvm or --accel tcg")
    image = _wanted(wanted)
    if report:
        files.check(_base() / report)
    plan, bundle, findings, target = _build(scenario, output, settings, refuse)
    changed: tuple[str, ...] = ()
    if edited:
        from pipeline.render.edited import edited as put_over

        bundle, changed = put_over(bundle, _base() / edited)
    where = _base() / report if report else target / "report"
    files.check(where)
    # Bound to the real standard output: pytest's is redirected while it runs the checks.
    console = Console(file=sys.stdout)
    with files.fresh(where, beside=None if report else target) as folder:
        result = run.verify(
            plan,
            bundle,
            findings=findings,
            accelerator=accelerator or None,
            logs=folder / "logs",
            listener=terminal.Progress(console),
            fast=fast,
            fallback=boot == "fallback",
            edited=changed,
            wanted=image,
        )
        (folder / "verdict.json").write_text(as_json.text(result), encoding="utf-8")
        (folder / "junit.xml").write_bytes(junit.data(result))
    terminal.verdict(console, result, str(where))
    return result.exit_code


def _wanted(options: ImageOptions | None) -> Any:
    from pipeline.lab.image import choice

    if options is None:
        return choice.Wanted()
    base = _base()
    return choice.wanted(
        options.image,
        mirror=options.mirror,
        keyring=base / options.keyring if options.keyring else None,
        locked=base / options.locked if options.locked else None,
        base=base,
    )


def verify_all(output: str, accelerator: str, fast: bool, wanted: ImageOptions | None = None) -> ExitCode:
    """Verify every shipped scenario; fails where one is not as its file states."""
    from rich.console import Console

    from pipeline import shipped
    from pipeline.report import terminal

    image = wanted or ImageOptions()
    _wanted(image)
    options = [*(("--accel", accelerator) if accelerator else ()), *(("--fast",) if fast else ())]
    options += [f"--{name}={value}" for name, value in vars(image).items() if value]
    console = Console()
    found = []
    for one in shipped.verify_all(_base() / (output or "build"), options):
        found.append(one)
        terminal.compared(console, one)
    if any(one.status == ExitCode.INTERRUPTED for one in found):
        return ExitCode.INTERRUPTED
    if any(one.difference and one.status not in {ExitCode.HELD, ExitCode.FAILED} for one in found):
        return ExitCode.LAB_FAULT
    return ExitCode.FAILED if any(one.difference for one in found) else ExitCode.HELD


def faults(
    lint: bool, boot: bool, only: Iterable[str], jobs: int, output: str, report: str, accelerator: str
) -> ExitCode:
    """Lint and boot the catalogue of faults; fails where one is not caught as its file states."""
    from rich.console import Console

    from pipeline.faults import command

    if not lint and not boot:
        lint = boot = True
    if not 0 <= jobs <= 64:
        raise BadInput(f"cannot boot {jobs} faults at once", hint="--jobs 2")
    if accelerator not in {"", "kvm", "tcg"}:
        raise BadInput(f"there is no accelerator {accelerator!r}", hint="--accel kvm or --accel tcg")
    return command.run(
        Console(),
        lint=lint,
        boot=boot,
        only=tuple(only),
        workers=jobs,
        output=_base() / (output or "build/faults"),
        target=_base() / report if report else None,
        options=("--accel", accelerator) if accelerator else (),
    )


def schema(output: str) -> ExitCode:
    """Write the JSON schema of scenarios; that of faults too, where no other place is named."""
    from pipeline.faults import schema as faults
    from pipeline.scenario.loader import SHIPPED
    from pipeline.scenario.schema import schema_text as scenario_schema

    wanted = {_base() / output if output else SHIPPED / "scenario.schema.json": scenario_schema()}
    if not output:
        wanted[faults.FILE] = faults.schema_text()
    for target, text in wanted.items():
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BadInput(f"cannot write {target}: {error.strerror}") from error
        print(target)
    return ExitCode.HELD


def doctor() -> ExitCode:
    """Print what this machine can do."""
    from rich.console import Console

    from pipeline import doctor as examine

    examine.show(Console())
    return ExitCode.HELD


def bench(runs: int, scenario: str) -> ExitCode:
    """Print the pairs with medians and ratios."""
    from rich.console import Console

    from pipeline import bench as measure

    return measure.show(Console(), runs=runs, scenario=scenario)
