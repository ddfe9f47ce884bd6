"""Where the register page is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.lab.device import registers

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    ("bars", "place"),
    [
        ({}, None),
        ({0: 4096}, (0, 0)),
        ({0: 16 << 10}, (0, 12 << 10)),
        ({0: 256 << 20, 2: 2 << 20, 5: 256 << 10}, (5, 252 << 10)),
        ({0: 256 << 20, 5: 2048}, None),
    ],
)
def test_it_is_at_the_end_of_the_last_memory_bar(bars: dict[int, int], place: tuple[int, int] | None) -> None:
    assert registers.place(bars) == place


def test_the_map_needs_nothing_else() -> None:
    text = (ROOT / "pipeline/lab/device/registers.py").read_text()
    done = subprocess.run([sys.executable, "-I", "-c", text], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "import pipeline" not in text
    assert "from pipeline" not in text
