from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands.numbers import number
from pipeline.errors import BadInput

CHECKOUT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.mark.parametrize(("text", "value"), [("2", 2), (" 300 ", 300), (4, 4), ("-1", -1), ("0", 0)])
def test_a_whole_number_is_read(text: str | int, value: int) -> None:
    assert number("--jobs", text) == value


@pytest.mark.parametrize("text", ["", "x", "2.5", "--2", "1e3", "٣" * 7, "9" * 7, "²"])
def test_anything_else_is_refused_with_its_option(text: str) -> None:
    with pytest.raises(BadInput, match="--deadline"):
        number("--deadline", text)


@pytest.mark.parametrize(
    "words",
    [
        "matrix --scenario rx560 --deadline 2.5",
        "matrix --scenario rx560 --jobs two",
        "faults --jobs x",
        "bench --runs 1.5",
        "ci --github --shards many",
        "worker --scheduler tcp://127.0.0.1:1 --jobs x",
    ],
)
def test_on_the_command_line_it_is_one_error_without_a_traceback(words: str) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("invoke")), *words.split()],
        cwd=CHECKOUT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "not a whole number" in done.stderr
    assert "Traceback" not in done.stderr
