"""The documentation of the rules, made from their docstrings: a page for each, and an index by subject."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from pipeline.lint.rule import Rule

FOLDER = "docs/rules"

_HEAD = """\
# Rules

What `lint` finds, by code. `lint --explain CODE` prints a page. Errors will not work, warnings may not, notes do no
harm. These pages are made from the docstrings of the rules by `docs`.
"""


def pages(rules: Iterable[Rule]) -> dict[str, str]:
    """Markdown by the name of its file, of every page and the index."""
    listed = sorted(rules, key=lambda one: one.code)
    return {"README.md": index(listed)} | {f"{one.code}.md": page(one) for one in listed}


def page(rule: Rule) -> str:
    """What is wrong, why it matters, for which versions that holds and where it was read or measured."""
    parts = [
        f"# {rule.code}: {rule.title.rstrip('.')}",
        *([rule.explanation] if rule.explanation else []),
        f"**Holds for:** {rule.holds}",
        f"**Source:** {rule.source}",
    ]
    return "\n\n".join(parts) + "\n"


def index(rules: Iterable[Rule]) -> str:
    """Links to the pages, those of a subject together."""
    subjects: dict[str, list[Rule]] = {}
    for rule in rules:
        subjects.setdefault(subject(rule), []).append(rule)
    parts = [_HEAD]
    for name, members in subjects.items():
        rows = [f"| [{one.code}]({one.code}.md) | {_cell(one.title)} |" for one in members]
        parts.append("\n".join((f"## {name}\n", "| Code | Finding |", "|---|---|", *rows, "")))
    return "\n".join(parts)


def subject(rule: Rule) -> str:
    """What the module of a rule is about, by the first line of its docstring, without the codes."""
    first = (sys.modules[rule.find.__module__].__doc__ or "").partition("\n")[0].strip().rstrip(".")
    text = first.partition(": ")[2] or first
    return text[:1].upper() + text[1:]


def _cell(text: str) -> str:
    return text.rstrip(".").replace("|", "\\|")
