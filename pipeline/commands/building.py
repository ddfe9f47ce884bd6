"""The task `build`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.collector import at_rest
from pipeline.commands.places import load, output_of
from pipeline.errors import ExitCode


@at_rest()
def write_bundle(scenario: str, output: str, settings: Iterable[str], refuse: bool) -> Any:
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
    loaded, plan, path = load(scenario, settings)
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
    target = output_of(plan.name, output)
    write(bundle, target)
    for name in bundle.files:
        console.print(f"{target}/{name}", highlight=False, soft_wrap=True)
    return plan, bundle, found, target


def build(scenario: str, output: str, settings: Iterable[str]) -> ExitCode:
    """Write the bundle of a scenario."""
    write_bundle(scenario, output, settings, True)
    return ExitCode.HELD
