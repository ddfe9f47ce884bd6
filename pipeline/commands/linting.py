"""The tasks `lint` and `docs`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.commands.places import base
from pipeline.errors import BadInput, ExitCode


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
    with output(base() / options.output if options.output else None) as write:
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

    where = base()
    if options.scenarios:
        return tuple(inputs.scenarios(options.scenarios, base=where, settings=options.settings))
    if options.bundle and not (where / options.bundle / "manifest.json").is_file():
        raise BadInput(
            f"{options.bundle} is no bundle: it has no manifest.json", hint="--root DIR takes any files"
        )
    return (
        inputs.FilesInput(
            root=options.bundle or options.root,
            base=where,
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
