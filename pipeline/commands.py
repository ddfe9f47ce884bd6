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


@dataclass(frozen=True, kw_only=True)
class LintOptions:
    """The options of lint, as they were written."""

    scenarios: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    root: str = ""
    bundle: str = ""
    domains: tuple[str, ...] = ()
    kernel: str = ""
    qemu: str = ""
    lspci: str = ""
    format: str = "text"
    output: str = ""
    fix: bool = False
    yes: bool = False
    strict: bool = False
    explain: str = ""

    def check(self) -> None:
        """Raises BadInput where the options do not go together."""
        given = {name for name in _INPUTS if getattr(self, name)}
        named = ", ".join(_INPUTS[name] for name in _INPUTS if name in given)
        if not given:
            raise BadInput("there is nothing to lint", hint="--scenario, --root, --bundle or --domain")
        if len(given) > 1 and given != {"root", "domains"}:
            raise BadInput(f"{named} do not go together", hint="lint them one after the other")
        if self.settings and not self.scenarios:
            raise BadInput("--set changes a scenario, and none is named", hint="--scenario NAME")
        for option in ("kernel", "qemu", "lspci"):
            if getattr(self, option) and not given & {"root", "domains"}:
                hint = "--set host.kernel=… and host.qemu=… change a scenario; a bundle's manifest says them"
                raise BadInput(f"--{option} goes with --root and --domain only", hint=hint)
        if self.format not in _FORMATS:
            raise BadInput(f"there is no format {self.format!r}", hint=f"one of: {', '.join(_FORMATS)}")
        if self.output and self.format not in {"json", "sarif"}:
            raise BadInput("--output is for --format json and sarif", hint="print others with >")
        if self.yes and not self.fix:
            raise BadInput("--yes goes with --fix only", hint="--fix --yes writes without asking")


_INPUTS = {"scenarios": "--scenario", "root": "--root", "bundle": "--bundle", "domains": "--domain"}
_FORMATS = ("text", "json", "sarif", "github")


def end(command: Callable[..., ExitCode], *arguments: Any, **options: Any) -> NoReturn:
    """Run a command and leave with its exit status; every error is one message without a traceback."""
    # mke2fs and debugfs are there on every distribution, but not on every user's path.
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
    # SIGINT too: in the background of a script it is ignored unless it is asked for.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        status = command(*arguments, **options)
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


def lint(options: LintOptions) -> ExitCode:
    """Print the findings; errors make it fail."""
    if options.explain:
        if options != LintOptions(explain=options.explain):
            raise BadInput("--explain stands alone", hint="such as lint --explain DB101")
        return _explain(options.explain)
    options.check()
    from rich.console import Console

    from pipeline import linting
    from pipeline.report import findings as reports
    from pipeline.report.output import output

    inputs = _inputs(options)
    errors = Console(stderr=True)
    # The report alone goes to standard output where a program reads it.
    spoken = Console() if options.format == "text" else errors
    ask = (lambda: True) if options.yes else linting.ask
    with output(_base() / options.output if options.output else None) as write:
        report: reports.Report
        match options.format:
            case "json":
                report = reports.Json(write)
            case "sarif":
                report = reports.Sarif(write)
            case "github":
                report = reports.Annotations(write)
            case _:
                report = reports.Terminal(spoken)
        return linting.run(
            inputs,
            report,
            console=spoken,
            errors=errors,
            fixing=ask if options.fix else None,
            strict=options.strict,
        )


def _inputs(options: LintOptions) -> Any:
    from pipeline import inputs

    base = _base()
    if options.scenarios:
        return tuple(inputs.scenarios(options.scenarios, base=base, settings=options.settings))
    if options.bundle and not (base / options.bundle / "manifest.json").is_file():
        raise BadInput(
            f"{options.bundle} is no bundle: it has no manifest.json", hint="--root DIR takes any files"
        )
    return (
        inputs.FilesInput(
            root=options.bundle or options.root,
            base=base,
            domains=options.domains,
            lspci=options.lspci,
            kernel=options.kernel,
            qemu=options.qemu,
        ),
    )


def _explain(code: str) -> ExitCode:
    from difflib import get_close_matches

    from rich.console import Console
    from rich.markdown import Markdown

    from pipeline.lint import RULES
    from pipeline.lint.pages import page

    rules = {rule.code: rule for rule in RULES}
    found = rules.get(code.upper())
    if found is None:
        begun = [one for one in rules if code and one.startswith(code.upper())]
        close = begun or get_close_matches(code.upper(), rules, n=3, cutoff=0.5)
        raise BadInput(
            f"there is no rule {code!r}",
            hint=f"is one of these meant: {', '.join(close)}?"
            if close
            else "docs/rules/README.md lists them",
        )
    Console().print(Markdown(page(found)))
    return ExitCode.HELD


def docs() -> ExitCode:
    """Write the pages of the rules."""
    from pipeline.lint import RULES
    from pipeline.lint.pages import FOLDER, pages

    folder = Path(__file__).resolve().parent.parent / FOLDER
    made = pages(RULES)
    try:
        folder.mkdir(exist_ok=True)
        for name, text in made.items():
            (folder / name).write_text(text, encoding="utf-8")
        for left in folder.glob("*.md"):
            if left.name not in made:
                left.unlink()
    except OSError as error:
        raise BadInput(f"cannot write {folder}: {error.strerror}") from error
    print(f"{folder}: {len(made)} pages")
    return ExitCode.HELD


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
    functions: bool = False,
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
    if functions and boot == "fallback":
        raise BadInput(
            "--functions needs a guest, and --boot fallback starts none", hint="leave one of them out"
        )
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
            functions=functions,
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


def matrix(**options: Any) -> ExitCode:
    """Run the domain on QEMU releases and machine types; `options` as pipeline.matrix.options has them."""
    from rich.console import Console

    from pipeline.matrix import command
    from pipeline.matrix.options import Options

    return command.run(Options(**options), Console(), base=_base())


def worker(scheduler: str, jobs: int) -> ExitCode:
    """Become a worker of a cluster."""
    from pipeline.matrix import worker

    worker.run(scheduler, at_once=jobs)


def ci(host: str, output: str, **options: Any) -> ExitCode:
    """Write a pipeline for the code host `host` that spreads a matrix over runners."""
    from pipeline import ci
    from pipeline.report.output import output as written

    text = ci.pipeline(host, ci.Options(**options))
    with written(_base() / output if output else None) as write:
        write(text)
    return ExitCode.HELD


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


def qemu(show: bool, add: str, remove: str) -> ExitCode:
    """Show, add or remove QEMU releases."""
    from rich.console import Console

    from pipeline.lab import releases
    from pipeline.report import releases as report

    if (show, bool(add), bool(remove)).count(True) > 1:
        raise BadInput("--list, --add and --remove do not go together", hint="one after the other")
    console = Console()
    if add:
        release = releases.add(add, base=_base(), progress=console.print)
        console.print(report.added(release), highlight=False, markup=False)
    elif remove:
        releases.remove(remove)
        console.print(f"{remove}: removed", highlight=False, markup=False)
    else:
        with console.status("looking at the releases"):
            found = releases.listing(lambda _: None)
        console.print(report.table(found))
    return ExitCode.HELD


def bench(runs: int, scenario: str) -> ExitCode:
    """Print the pairs with medians and ratios."""
    from rich.console import Console

    from pipeline import bench as measure

    return measure.show(Console(), runs=runs, scenario=scenario)
