"""A run of lint: one input after another, each read, looked at, mended where that is asked for, and reported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from rich.console import Console

from pipeline.collector import at_rest
from pipeline.errors import BadInput, ExitCode
from pipeline.inputs import Input, unknown
from pipeline.lint import Finding, Severity, lint
from pipeline.lint.edit import Kind
from pipeline.report import problems
from pipeline.report.findings import Part, Report
from pipeline.setup import Setup

_ROUNDS = 20
_ADDING = {Kind.ADD_AFTER, Kind.ADD_LINE}


# Says whether to write what was shown.
Ask = Callable[[], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mending:
    """What mending comes to: the old and the new texts by file, what was mended, what was not and why."""

    old: Mapping[str, str]
    new: Mapping[str, str]
    mended: tuple[Finding, ...]
    left: tuple[tuple[Finding, str], ...]


def run(
    inputs: Sequence[Input],
    report: Report,
    *,
    console: Console,
    errors: Console,
    fixing: Ask | None = None,
    strict: bool = False,
) -> ExitCode:
    """Look at every input; errors fail it, with `strict` warnings too. With `fixing`, mend what can be mended.

    `console` gets the differences and what is said beside the report. An input that cannot be read raises BadInput
    where it is the only one; of several, it is named on `errors` and the others are looked at.
    """
    status = ExitCode.HELD
    for number, one in enumerate(inputs):
        try:
            # What the first one loads stays; garbage that many inputs leave behind has to go.
            with nullcontext() if number else at_rest():
                failed = _fails(_look(one, report, console, fixing), strict)
        except BadInput as error:
            if len(inputs) == 1:
                raise
            problems.error(errors, error)
            status = ExitCode.BAD_INPUT
        else:
            status = ExitCode.FAILED if failed and status is ExitCode.HELD else status
    report.end()
    return status


def _fails(found: Sequence[Finding], strict: bool) -> bool:
    worst = Severity.WARNING if strict else Severity.ERROR
    return any(one.severity.rank <= worst.rank for one in found)


def _look(one: Input, report: Report, console: Console, fixing: Ask | None) -> tuple[Finding, ...]:
    setup = one.setup({})
    found = lint(setup)
    if fixing:
        setup, found = _fix(one, setup, found, console, fixing)
    texts: dict[str, str | None] = {}

    def text(file: str) -> str | None:
        if file not in texts:
            texts[file] = _read(one, file)
        return texts[file]

    report.add(Part(name=setup.name, file=one.shown, texts=text), found)
    missing = unknown(setup)
    if missing:
        _say(console, f"{setup.name}: not known, so what needs it was not looked at: {', '.join(missing)}")
    return found


def _fix(
    one: Input, setup: Setup, found: tuple[Finding, ...], console: Console, ask: Ask
) -> tuple[Setup, tuple[Finding, ...]]:
    from pipeline import mend
    from pipeline.report import diff

    made = mending(one, found)
    for file, new in made.new.items():
        diff.show(console, file, made.old[file], new)
    for finding in made.mended:
        _say(console, f"mended: {finding}" if made.new else str(finding))
    for finding, why in made.left:
        _say(console, f"not mended: {finding}\n    {why}")
    if not made.new:
        _say(console, f"{setup.name}: there is nothing that --fix can mend")
        return setup, found
    if not ask():
        _say(console, "nothing was written; --yes writes it without asking")
        return setup, found
    targets = {file: target for file in made.new if (target := one.target(file))}
    copies = mend.write(
        [mend.Mend(target=each, old=made.old[file], new=made.new[file]) for file, each in targets.items()]
    )
    for file, copy in zip(targets, copies, strict=True):
        _say(console, f"the old {file} is kept as {copy}")
    after = one.setup({})
    return after, lint(after)


def _say(console: Console, text: str) -> None:
    console.print(problems.shown(text), highlight=False, soft_wrap=True)


def mending(one: Input, found: Sequence[Finding]) -> Mending:
    """Mend, look again at what came out and mend that, until nothing more can be; nothing is written."""
    old: dict[str, str] = {}
    new: dict[str, str] = {}
    mended: list[Finding] = []
    left: dict[Finding, str] = {}
    states = [dict(new)]
    for _ in range(_ROUNDS):
        texts = _texts(one, found, old) | new
        changed, done, left = _round(one, found, texts, new)
        if {**new, **changed} in states:
            break
        new.update(changed)
        states.append(dict(new))
        mended += done
        found = lint(one.setup(new))
    return Mending(
        old=old,
        new={file: text for file, text in new.items() if text != old[file]},
        mended=tuple(mended),
        left=tuple(left.items()),
    )


def _round(
    one: Input, found: Sequence[Finding], texts: Mapping[str, str], new: Mapping[str, str]
) -> tuple[Mapping[str, str], tuple[Finding, ...], dict[Finding, str]]:
    """The texts that change, what that mends, and what is not mended, with why.

    What puts something in waits until nothing else is left to do: a word that is mended may be the missing one. What
    the input could not be read with is not made: where all together are too much, they are tried one by one.
    """
    from pipeline.lint.fix import fix

    first = [each for each in found if not any(edit.kind in _ADDING for edit in each.edits)]
    if any(each.edits for each in first) and len(first) < len(found):
        changed, mended, left = _round(one, first, texts, new)
        if changed:
            return changed, mended, left
    made = fix(texts, found)
    left = {each.finding: each.why for each in made.left}
    problem = _problem(one, {**new, **made.texts})
    if not problem:
        return made.texts, made.mended, left
    for finding in made.mended:
        alone = fix(texts, [finding])
        problem = _problem(one, {**new, **alone.texts})
        if alone.texts and not problem:
            return alone.texts, alone.mended, left
        left[finding] = problem or "it is mended already"
    return {}, (), left


def _problem(one: Input, texts: Mapping[str, str]) -> str:
    try:
        one.setup(texts)
    except BadInput as error:
        return f"with it, the input could not be read: {error}"
    return ""


def _texts(one: Input, found: Sequence[Finding], old: dict[str, str]) -> dict[str, str]:
    """The texts of the files that edits are for, kept in `old`."""
    for file in dict.fromkeys(edit.place.file for finding in found for edit in finding.edits):
        text = None if file in old else _read(one, file)
        if text is not None:
            old[file] = text
    return dict(old)


def _read(one: Input, file: str) -> str | None:
    """The text of a file of the input as it is on disk; None for what is no such file."""
    from pipeline import mend

    target = one.target(file)
    if target is None:
        return None
    try:
        return mend.read(target)
    except BadInput:
        return None


def ask() -> bool:
    """Whether the person at the terminal wants it written; without a terminal, no."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        return input("write these changes? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        sys.stdout.write("\n")
        return False
