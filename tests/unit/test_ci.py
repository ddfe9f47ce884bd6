"""Pipelines for code hosts: valid YAML, and a word of the user's is a word of the shell, whatever is in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invoke.collection import Collection
from invoke.parser import Parser
from ruamel.yaml import YAML

import tasks
from pipeline import ci, commands
from pipeline.errors import BadInput
from pipeline.matrix.selection import shard

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULTS: dict[str, Any] = {
    "scenario": "hosts/mine.yaml",
    "qemu": "10.0,11.1",
    "machines": "all",
    "lane": "fast",
    "shards": 4,
}


def load(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def calls(host: str, text: str) -> tuple[list[str], list[str]]:
    """The words of the call that runs a shard, and of the one that merges."""
    tree = load(text)
    if host == "github":
        cells, merged = (
            [step["run"] for step in tree["jobs"][name]["steps"] if "dryboot" in step.get("run", "")]
            for name in ("cells", "merged")
        )
    else:
        cells, merged = tree["cells"]["script"], tree["merged"]["script"]
    (run,), (merge,) = cells, merged
    return shlex.split(run.replace("${{ matrix.shard }}", "1").replace("$CI_NODE_INDEX", "1")), shlex.split(
        merge
    )


def options(words: list[str]) -> dict[str, Any]:
    assert words[:2] == ["dryboot/dryboot", "matrix"]
    parser = Parser(contexts=Collection.from_module(tasks).to_contexts())
    (context,) = parser.parse_argv(words[1:])
    return {name: argument.value for name, argument in context.args.items() if argument.got_value}


@pytest.mark.parametrize("host", ci.HOSTS)
def test_the_example_is_what_is_made(host: str) -> None:
    made = ci.pipeline(host, ci.Options(**DEFAULTS))
    assert (CHECKOUT / f"ci/matrix-{host}.yml").read_text() == made


@pytest.mark.parametrize("host", ci.HOSTS)
def test_the_shards_are_a_whole_and_all_are_merged(host: str) -> None:
    given_options = {**DEFAULTS, "shards": 7, "machines": "9.2,pc-q35-10.0", "lane": "both"}
    text = ci.pipeline(host, ci.Options(**given_options))
    run, merge = map(options, calls(host, text))
    assert {name: run[name] for name in ("scenario", "qemu", "machines", "lane")} == {
        name: given_options[name] for name in ("scenario", "qemu", "machines", "lane")
    }
    assert shard(run["shard"]) == (1, 7)
    assert len(merge["merge"].split(",")) == len(set(merge["merge"].split(","))) == 7
    assert merge["scenario"] == "hosts/mine.yaml"
    tree = load(text)
    if host == "github":
        assert tree["jobs"]["cells"]["strategy"]["matrix"]["shard"] == [1, 2, 3, 4, 5, 6, 7]
        assert tree["jobs"]["merged"]["needs"] == "cells"
        assert merge["merge"].split(",")[0] == f"parts/part-{1}"
        upload = tree["jobs"]["cells"]["steps"][-1]["with"]
        assert upload == {"name": "part-${{ matrix.shard }}", "path": run["output"]}
    else:
        assert tree["cells"]["parallel"] == 7
        assert tree["merged"]["needs"] == ["cells"]
        assert merge["merge"].split(",")[0] == run["output"]
        assert tree["cells"]["artifacts"]["paths"] == ["part-$CI_NODE_INDEX"]


@pytest.mark.parametrize("host", ci.HOSTS)
@given(
    st.text(max_size=30)
    | st.sampled_from(
        ["a'b", 'a"b', "a: b", "# a", "$(id)", "`id`", "a\\b", "${HOME}", "!x", "a;b", "ü b.yaml"]
    )
)
def test_a_hostile_path_stays_one_word(host: str, scenario: str) -> None:
    try:
        text = ci.pipeline(host, ci.Options(**{**DEFAULTS, "scenario": scenario}))
    except BadInput:
        return
    if "$CI_NODE_INDEX" in scenario:
        return
    for words in calls(host, text):
        assert words[words.index("--scenario") + 1] == scenario
    # Only the host's own expressions are left to it.
    assert set(re.findall(r"\$\{\{.*?\}\}", text)) <= set(
        re.findall(r"\$\{\{.*?\}\}", (CHECKOUT / "ci/matrix-github.yml").read_text())
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scenario": "${{ secrets.KEY }}"}, "cannot be written into a pipeline"),
        ({"scenario": "a\nb"}, "cannot be written into a pipeline"),
        ({"scenario": "--output"}, "cannot be written into a pipeline"),
        ({"scenario": "a\x85b"}, "cannot be written into a pipeline"),
        ({"scenario": ""}, "no scenario is named"),
        ({"qemu": "10.0,"}, "cannot read --qemu"),
        ({"qemu": "10.0 $(id),${{ x }}"}, "cannot be written into a pipeline"),
        ({"machines": "9.99"}, "no QEMU release has a Q35 machine type"),
        ({"lane": "slow"}, "there is no lane"),
        ({"shards": 0}, "cannot spread"),
        ({"shards": 201}, "cannot spread"),
    ],
)
def test_what_would_not_do_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        ci.pipeline("github", ci.Options(**{**DEFAULTS, **change}))


def test_one_host_is_named() -> None:
    with pytest.raises(BadInput, match="name one code host"):
        ci.pipeline("", ci.Options(**DEFAULTS))


def test_it_is_written_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRYBOOT_CWD", str(tmp_path))
    assert commands.ci("gitlab", "machine-types.yml", **DEFAULTS) == 0
    assert (tmp_path / "machine-types.yml").read_text() == ci.pipeline("gitlab", ci.Options(**DEFAULTS))
    with pytest.raises(BadInput, match="cannot write"):
        commands.ci("gitlab", "none/machine-types.yml", **DEFAULTS)
