"""The tasks `schema`, `doctor` and `bench`."""

from __future__ import annotations

from pipeline.commands.numbers import number
from pipeline.commands.places import base
from pipeline.errors import BadInput, ExitCode


def schema(output: str) -> ExitCode:
    """Write the JSON schema of scenarios; that of faults too, where no other place is named."""
    from pipeline.faults import schema as faults
    from pipeline.scenario.loader import SHIPPED
    from pipeline.scenario.schema import schema_text as scenario_schema

    wanted = {base() / output if output else SHIPPED / "scenario.schema.json": scenario_schema()}
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


def bench(runs: str | int, scenario: str) -> ExitCode:
    """Print the pairs with medians and ratios."""
    from rich.console import Console

    from pipeline.bench import command as measure

    return measure.show(Console(), runs=number("--runs", runs), scenario=scenario)
