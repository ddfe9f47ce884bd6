"""What is remembered of a mirror, and for how long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.lab.image.mirror import remember, remembered


def test_a_problem_is_remembered_for_hours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path))
    assert remembered("a") == ""
    remember("a", "no answer")
    assert (remembered("a"), remembered("b")) == ("no answer", "")
    (path,) = (tmp_path / "mirrors").iterdir()
    for age, known in ((5 * 3600, "no answer"), (7 * 3600, ""), (-3600, "")):
        os.utime(path, (time.time() - age,) * 2)
        assert remembered("a") == known
