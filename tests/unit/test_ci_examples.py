"""The examples for code hosts: they parse, and every call of Dryboot in them is one that it takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.collection import Collection
from invoke.parser import Parser
from ruamel.yaml import YAML

import tasks

CI = Path(__file__).resolve().parent.parent.parent / "ci"
_CALL = re.compile(r"dryboot/dryboot (.+)")


def texts(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


BOOT, MATRIX = {"lint", "verify"}, {"matrix"}
EXAMPLES = {
    "github.yml": BOOT,
    "gitlab.yml": BOOT,
    "matrix-github.yml": MATRIX,
    "matrix-gitlab.yml": MATRIX,
}


def test_every_example_is_looked_at() -> None:
    assert {path.name for path in CI.glob("*.yml")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_call_is_one_that_dryboot_takes(name: str) -> None:
    tree = YAML(typ="safe", pure=True).load((CI / name).read_text())
    calls = [found[1] for text in texts(tree) if (found := _CALL.search(text))]
    assert {call.split()[0] for call in calls} == EXAMPLES[name]
    parser = Parser(contexts=Collection.from_module(tasks).to_contexts())
    for call in calls:
        words = shlex.split(re.sub(r"\$\{\{.*?\}\}", "mine", call))
        (context,) = parser.parse_argv(words)
        assert context.name == words[0]
        given = {flag for flag, argument in context.flags.items() if argument.got_value}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= given
    assert (CI / "README.md").read_text().count(f"({name})") == 1
