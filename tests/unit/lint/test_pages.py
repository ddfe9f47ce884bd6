from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.lint import RULES
from pipeline.lint.pages import FOLDER, pages, subject
from pipeline.lint.rule import Rule

CHECKOUT = Path(__file__).resolve().parents[3]
MADE = pages(RULES)


def test_the_pages_in_the_checkout_are_those_of_the_rules() -> None:
    folder = CHECKOUT / FOLDER
    written = {path.name: path.read_text() for path in folder.iterdir()}
    assert sorted(written) == sorted(MADE), "make them anew: invoke docs"
    stale = [name for name, text in MADE.items() if written[name] != text]
    assert stale == [], "make them anew: invoke docs"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_says_what_is_wrong_why_for_what_it_holds_and_where_that_is_from(rule: Rule) -> None:
    assert rule.title.endswith(".")
    assert rule.explanation
    text = MADE[f"{rule.code}.md"]
    assert text.startswith(f"# {rule.code}: {rule.title[:-1]}\n\n{rule.explanation}\n\n**Holds for:** ")
    assert text.endswith(f"**Source:** {rule.source}\n")
    assert subject(rule)
    assert not re.search(r"DB\d", subject(rule))


def test_codes_are_given_once() -> None:
    codes = [rule.code for rule in RULES]
    assert len(codes) == len(set(codes))


def test_the_index_links_every_page_once() -> None:
    links = re.findall(r"\]\((DB\d{3}\.md)\)", MADE["README.md"])
    assert sorted(links) == sorted(name for name in MADE if name != "README.md")
    headings = re.findall(r"^## .*$", MADE["README.md"], re.MULTILINE)
    assert len(headings) == len(set(headings)) > 5


def test_a_bar_in_a_title_does_not_end_its_cell() -> None:
    def find(setup):
        """One | two."""
        return iter(())

    made = pages([Rule(code="DB999", find=find, holds="all", source="here")])
    assert "| [DB999](DB999.md) | One \\| two |" in made["README.md"]
