from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.errors import Place
from pipeline.lint import Severity
from pipeline.report.github import annotation


def test_a_finding_is_a_command_on_its_line(failed) -> None:
    assert annotation(failed.findings[0]) == (
        "::warning file=rx560.yaml,line=67,col=15,title=DB301"
        "::found [it]%0Awhy: why%0Afix: fix%0Asource: mkinitcpio(8)"
    )


@pytest.mark.parametrize(
    ("severity", "command"),
    [(Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.NOTE, "notice")],
)
def test_each_severity_has_its_command(failed, severity: Severity, command: str) -> None:
    assert annotation(replace(failed.findings[0], severity=severity)).startswith(f"::{command} ")


def test_nothing_in_a_finding_is_taken_for_a_command_or_a_property(failed) -> None:
    odd = replace(
        failed.findings[0],
        place=Place(file="a,b:c%d\ne", line=1),
        found="100%\r\n::error::x, y: z",
        why="\x1b[2J",
    )
    written = annotation(odd)
    assert "\n" not in written and "\r" not in written and "\x1b" not in written
    assert written.startswith(
        "::warning file=a%2Cb%3Ac%25d%0Ae,line=1,title=DB301::100%25\\r%0A::error::x, y: z%0A"
    )


def test_what_stands_in_no_file_names_where_it_is_from(failed) -> None:
    odd = replace(failed.findings[0], place=Place(file="--set host.kernel", text="x"))
    assert annotation(odd).startswith("::warning title=DB301::--set host.kernel: found [it]%0A")
