"""The tasks `verify` and `verify --all`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.commands.building import write_bundle
from pipeline.commands.places import base
from pipeline.errors import BadInput, ExitCode


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """The options of verify that say what the host is made of, as they were written."""

    image: str = ""
    mirror: str = ""
    keyring: str = ""
    locked: str = ""


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
    from pipeline.lab import accel
    from pipeline.report import as_json, files, junit, terminal

    if not scenario:
        raise BadInput("no scenario is named", hint="--scenario NAME, or --all for every shipped one")
    if boot not in {"default", "fallback"}:
        raise BadInput(f"there is no entry {boot!r} to boot", hint="--boot default or --boot fallback")
    accel.checked(accelerator)
    if functions and boot == "fallback":
        raise BadInput(
            "--functions needs a guest, and --boot fallback starts none", hint="leave one of them out"
        )
    image = _wanted(wanted)
    if report:
        files.check(base() / report)
    plan, bundle, findings, target = write_bundle(scenario, output, settings, refuse)
    changed: tuple[str, ...] = ()
    if edited:
        from pipeline.render.edited import edited as put_over

        bundle, changed = put_over(bundle, base() / edited)
    where = base() / report if report else target / "report"
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
    where = base()
    return choice.wanted(
        options.image,
        mirror=options.mirror,
        keyring=where / options.keyring if options.keyring else None,
        locked=where / options.locked if options.locked else None,
        base=where,
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
    for one in shipped.verify_all(base() / (output or "build"), options):
        found.append(one)
        terminal.compared(console, one)
    if any(one.status == ExitCode.INTERRUPTED for one in found):
        return ExitCode.INTERRUPTED
    if any(one.difference and one.status not in {ExitCode.HELD, ExitCode.FAILED} for one in found):
        return ExitCode.LAB_FAULT
    return ExitCode.FAILED if any(one.difference for one in found) else ExitCode.HELD
