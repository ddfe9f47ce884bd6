from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.errors import BadInput, LabFault, Place
from pipeline.report import terminal
from pipeline.verdict import Compared, Outcome


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=False)


def shown(console: Console, function: Callable[..., None], *arguments: object) -> str:
    function(console, *arguments)
    return text(console)


def text(console: Console) -> str:
    return console.file.getvalue()


def test_a_step_has_the_seconds_since_the_start(console) -> None:
    terminal.Progress(console).step("applying [the] files")
    assert re.fullmatch(r" +0\.\d s applying \[the\] files\n", text(console))


def test_a_check_is_told_as_it_is_made(console, failed) -> None:
    progress = terminal.Progress(console)
    for check in failed.checks:
        progress.check(check)
    assert text(console).splitlines() == [
        "         failed  binding[01:00.0]",
        "         held    group[01:00.0]",
        "         skipped machine[win10]",
    ]


def test_an_error_has_its_place_and_hint(console) -> None:
    place = Place(file="s.yaml", line=3, column=5)
    terminal.error(console, BadInput("no [red]such[/] thing", place=place, hint="try [/x]"))
    assert text(console) == "error: s.yaml:3:5: no [red]such[/] thing\n  hint: try [/x]\n"


def test_a_finding_shows_the_line_and_the_cure(console, failed) -> None:
    terminal.findings(console, failed.findings)
    assert text(console).splitlines() == [
        "rx560.yaml:67:15: warning DB301: found [it]",
        '    | passthrough: ["01:00.0", "01:00.1"]',
        "    why: why",
        "    fix: fix",
        "    source: mkinitcpio(8)",
    ]


def test_a_verdict_shows_what_failed_and_what_stood_in(console, failed) -> None:
    terminal.verdict(console, failed, "/r/report")
    said = text(console)
    assert (
        "binding[01:00.0] failed\n"
        '  rx560.yaml:67:15: passthrough: ["01:00.0", "01:00.1"]\n'
        "  expected: vfio-pci\n  observed: amdgpu\n"
        "  why: the wrong driver, or none, holds it\n  fix: load vfio_pci first\n"
    ) in said
    assert "group[01:00.0]" not in said
    assert "6.12.117" in said
    assert "replaced in the domain: <memory>" in said
    assert said.endswith(
        "rx560: failed: 1 held, 1 failed, 1 skipped in 189 s, peak memory 1503 MiB; tcg: as asked for\n"
        "report: /r/report\n"
    )


def test_a_lab_fault_says_that_it_is_not_the_scenario_s(console, lab_fault) -> None:
    terminal.verdict(console, lab_fault, "/r")
    said = text(console)
    assert "lab fault (says nothing about the scenario): QEMU of L1 was killed by signal 9" in said
    assert "last words [bold]" in said
    assert "rx560: lab fault: 0 held, 0 failed, 3 skipped" in said


def test_everything_held(console, held) -> None:
    terminal.verdict(console, held, "/r")
    assert "failed\n" not in text(console)
    assert "rx560: held: 3 held, 0 failed, 0 skipped" in text(console)


@pytest.mark.parametrize("observed", ["[/]", "[red]", "[/red]", "\\[x]", "[@click=f]x[/]"])
def test_markup_in_what_was_observed_is_shown_as_it_is(console, said, observed: str) -> None:
    terminal.verdict(console, said(observed), "/r/[/x]")
    assert f"  observed: {observed}\n" in text(console)
    assert text(console).endswith("report: /r/[/x]\n")


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x1b]0;title\x07", "\x9b2J", "a\rb"])
def test_what_was_observed_cannot_steer_the_terminal(console, said, lab_fault, hostile: str) -> None:
    terminal.verdict(console, said(f"x{hostile}"), "/r")
    terminal.error(console, LabFault(f"x{hostile}", place=Place(file=hostile)))
    terminal.Progress(console).step(hostile)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text(console))


def test_where_run_and_host_differ_is_a_table(console, failed) -> None:
    said = shown(console, terminal.verdict, failed, "report")
    assert "Fidelity" in said
    assert "only [rules]" in said
    assert " init " not in said


def test_what_is_not_proven_is_told_with_its_reason(console, failed) -> None:
    one = replace(
        failed.checks[1], outcome=Outcome.NOT_PROVEN, observed="vfio-pci; but xhci_pci [is] built in"
    )
    said = shown(console, terminal.verdict, replace(failed, checks=(failed.checks[0], one)), "report")
    assert f"{one.expectation.id} not proven here" in said
    assert "xhci_pci [is] built in" in said
    assert "1 failed, 1 not proven here, 0 skipped" in said


@pytest.mark.parametrize(
    ("difference", "failing", "text"),
    [
        ("", (), "rx560: as stated in 80 s"),
        ("", ("viable[00:01.0]",), "rx560: as stated (viable[00:01.0] failed) in 80 s"),
        ("binding[01:00.0] failed", ("binding[01:00.0]",), "rx560: binding[01:00.0] failed in 80 s"),
    ],
)
def test_a_shipped_scenario_is_one_line(
    console, difference: str, failing: tuple[str, ...], text: str
) -> None:
    one = Compared(name="rx560", status=0, seconds=80.2, failing=failing, difference=difference)
    assert shown(console, terminal.compared, one).strip() == text
