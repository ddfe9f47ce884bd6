from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Place
from pipeline.lint import RULES, Finding, Severity
from pipeline.lint.edit import Edit, Kind
from pipeline.report import sarif

TEXT = "é\nm: [amdgpu, vfio_pci, snd]\n"
PLACE = Place(file="s.yaml", line=2, column=5, text="m: [amdgpu, vfio_pci, snd]")
FOUND = Finding(
    code="DB203",
    severity=Severity.ERROR,
    place=PLACE,
    found="amdgpu is first",
    why="why",
    fix="put it behind",
    source="source",
    edits=(
        Edit(kind=Kind.REMOVE, place=PLACE, old="amdgpu"),
        Edit(kind=Kind.ADD_AFTER, place=replace(PLACE, column=13), old="vfio_pci", new="amdgpu"),
    ),
)


def result(one: Finding, text: str | None = TEXT):
    (made,) = sarif.results([one], lambda file: text, whole="s.yaml")
    return made


def replaced(text: str, change) -> str:
    """What a viewer makes of a replacement."""
    lines = text.split("\n")
    region = change["deletedRegion"]

    def offset(line: int, column: int) -> int:
        return sum(len(one) + 1 for one in lines[: line - 1]) + column - 1

    start = offset(region["startLine"], region["startColumn"])
    end = offset(region["endLine"], region["endColumn"])
    return text[:start] + change["insertedContent"]["text"] + text[end:]


def test_a_result_has_rule_level_place_and_fix() -> None:
    made = result(FOUND)
    (change,) = made.pop("fixes")[0]["artifactChanges"]
    assert RULES[made.pop("ruleIndex")].code == "DB203"
    prints = made.pop("partialFingerprints")
    assert list(prints) == ["dryboot/v1"]
    assert made == {
        "ruleId": "DB203",
        "level": "error",
        "message": {"text": "amdgpu is first\nwhy: why\nfix: put it behind\nsource: source"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "s.yaml"},
                    "region": {"startLine": 2, "startColumn": 5, "endColumn": 11},
                }
            }
        ],
    }
    assert change["artifactLocation"] == {"uri": "s.yaml"}
    (replacement,) = change["replacements"]
    assert replaced(TEXT, replacement) == "é\nm: [vfio_pci, amdgpu, snd]\n"


@pytest.mark.parametrize("text", [None, "something else\n"])
def test_no_fix_is_offered_where_it_cannot_be_made(text: str | None) -> None:
    assert "fixes" not in result(FOUND, text)


@given(st.text(alphabet="ab\n", max_size=12), st.text(alphabet="ab\n", max_size=12))
def test_a_replacement_makes_the_one_text_of_the_other(old: str, new: str) -> None:
    assert replaced(old, sarif._replacement(old, new)) == new


def test_fingerprints_do_not_depend_on_the_line_and_tell_findings_apart() -> None:
    def fingerprints(*found: Finding) -> list[str]:
        return [
            one["partialFingerprints"]["dryboot/v1"]
            for one in sarif.results(found, lambda file: None, whole="s.yaml")
        ]

    (first,) = fingerprints(FOUND)
    assert fingerprints(replace(FOUND, place=replace(PLACE, line=9))) == [first]
    others = (
        replace(FOUND, code="DB202"),
        replace(FOUND, found="other"),
        replace(FOUND, place=replace(PLACE, file="t.yaml")),
        replace(FOUND, place=replace(PLACE, text="other")),
    )
    assert len({first, *fingerprints(*others)}) == 5
    assert len(set(fingerprints(FOUND, FOUND))) == 2


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("scenarios/rx560.yaml", "scenarios/rx560.yaml"),
        ("./a b.yaml", "a%20b.yaml"),
        ("../x/é", "../x/%C3%A9"),
        ("a:b/c", "a%3Ab/c"),
        ("/etc/default/grub", "file:///etc/default/grub"),
        ("//etc/grub", "file:///etc/grub"),
        ("a?b#c%d", "a%3Fb%23c%25d"),
        ("\udcff.yaml", "%FF.yaml"),
    ],
)
def test_files_are_named_as_uris(file: str, uri: str) -> None:
    assert sarif.uri(file) == uri


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1))
def test_a_uri_gives_the_name_back(name: str) -> None:
    made = sarif.uri(name)
    assert made.isascii()
    assert unquote(made) == name


def test_what_stands_in_no_file_is_shown_on_the_whole() -> None:
    made = result(replace(FOUND, place=Place(file="--set host.kernel", text="x"), edits=()))
    assert made["locations"] == [
        {
            "physicalLocation": {"artifactLocation": {"uri": "s.yaml"}, "region": {"startLine": 1}},
            "logicalLocations": [{"fullyQualifiedName": "--set host.kernel", "kind": "parameter"}],
        }
    ]


def test_a_finding_about_a_whole_file_stands_on_its_first_line() -> None:
    made = result(replace(FOUND, place=Place(file="a"), edits=()))
    assert made["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}


def test_every_rule_is_described() -> None:
    rules = sarif.tool()["driver"]["rules"]
    assert [one["id"] for one in rules] == [rule.code for rule in RULES]
    for one in rules:
        assert one["shortDescription"]["text"].endswith(".")
        assert one["fullDescription"]["text"].startswith(one["shortDescription"]["text"])
        assert one["help"]["markdown"].startswith(f"# {one['id']}: ")
        assert one["properties"]["page"] == f"docs/rules/{one['id']}.md"


def test_what_cannot_be_seen_is_written_as_an_escape() -> None:
    made = json.dumps(result(replace(FOUND, found="\x1b[2J\u202e", fix="\x07")), ensure_ascii=False)
    assert "\\\\x1b[2J\\\\u202e" in made
    assert "\\u001b" not in made and "\\u0007" not in made
