"""What every shipped scenario renders to.

The manifest is left out: its hashes change with every comment in the facts and say nothing to a reader.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.plan import resolve
from pipeline.render import Inputs, render
from pipeline.render.bundle import MANIFEST
from pipeline.scenario import load

GOLDEN = Path(__file__).parent
SCENARIOS = sorted((GOLDEN.parents[1] / "scenarios").glob("*.yaml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_shipped_scenario_renders_as_recorded(path, regenerate):
    bundle = render(resolve(load(path)), inputs=Inputs(scenario=path.read_bytes()))
    rendered = {name: data.decode() for name, data in bundle.files.items() if name != MANIFEST}
    directory = GOLDEN / path.stem
    if regenerate:
        shutil.rmtree(directory, ignore_errors=True)
        for name, text in rendered.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
    recorded = {
        file.relative_to(directory).as_posix(): file.read_text()
        for file in directory.rglob("*")
        if file.is_file()
    }
    assert rendered == recorded, "review the change, then: pytest tests/golden --regenerate"
