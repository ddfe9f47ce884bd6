from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.report import as_json
from pipeline.report.findings import Annotations, Json, Part, Report, Sarif, Terminal


def filled(report: Report, *inputs) -> None:
    for name, findings in inputs:
        report.add(Part(name=name, file=name, texts=lambda file: None), findings)
    report.end()


def written(kind, *inputs) -> str:
    stream = io.StringIO()
    filled(kind(stream.write), *inputs)
    return stream.getvalue()


def shown(*inputs) -> str:
    stream = io.StringIO()
    filled(Terminal(Console(file=stream, width=200)), *inputs)
    return stream.getvalue()


def test_json_is_one_list_of_all_findings(failed) -> None:
    (one,) = failed.findings
    two = replace(one, found="two\n\u2028\x85 lines")
    text = written(Json, ("a", [one]), ("b", []), ("c", [two, one]))
    items = [as_json.finding(each) for each in (one, two, one)]
    assert text == json.dumps(items, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("inputs", [(), [("a", [])], [("a", []), ("b", [])]])
def test_without_findings_the_documents_are_whole(inputs) -> None:
    assert json.loads(written(Json, *inputs)) == []
    assert json.loads(written(Sarif, *inputs))["runs"][0]["results"] == []
    assert written(Annotations, *inputs) == ""


def test_sarif_is_one_run_with_all_results(failed) -> None:
    (one,) = failed.findings
    document = json.loads(written(Sarif, ("a", [one]), ("b", []), ("c", [one, one])))
    (run,) = document["runs"]
    assert (document["version"], run["columnKind"]) == ("2.1.0", "unicodeCodePoints")
    assert document["$schema"].endswith("sarif-schema-2.1.0.json")
    assert run["tool"]["driver"]["name"] == "dryboot"
    assert [each["ruleId"] for each in run["results"]] == ["DB301"] * 3


def test_a_name_that_is_no_unicode_does_not_keep_json_from_being_written(failed) -> None:
    odd = replace(failed.findings[0], found="\udcff")
    for kind in (Json, Sarif, Annotations):
        written(kind, ("a", [odd])).encode()
    assert json.loads(written(Json, ("a", [odd])))[0]["found"] == "\udcff"


def test_people_get_each_finding_and_the_counts(failed) -> None:
    text = shown(("rx560", failed.findings))
    assert text.splitlines() == [
        "rx560.yaml:67:15: warning DB301: found [it]",
        '    | passthrough: ["01:00.0", "01:00.1"]',
        "    why: why",
        "    fix: fix",
        "    source: mkinitcpio(8)",
        "rx560: 0 errors, 1 warnings, 0 notes",
    ]


def test_counts_of_several_inputs_are_added_up(failed) -> None:
    lines = shown(("a", failed.findings), ("b", []), ("c", failed.findings)).splitlines()
    assert lines[-2:] == ["c: 0 errors, 1 warnings, 0 notes", "3 inputs: 0 errors, 2 warnings, 0 notes"]


def test_hostile_text_does_not_reach_the_terminal(failed) -> None:
    odd = replace(failed.findings[0], found="\x1b[2J", why="[red]\x9b", fix="\x07")
    text = shown(("\x1b]0;x", [odd]))
    assert "\x1b" not in text and "\x9b" not in text and "\x07" not in text
    assert "[red]" in text
