"""The shipped scenarios against what their files state."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline import shipped


@pytest.mark.parametrize(
    ("status", "failed", "wanted", "text"),
    [
        (0, [], [], ""),
        (1, ["a[1]", "b[2]"], ["a[1]"], ""),
        (1, ["b[2]"], ["a[1]"], "a[1] had to fail and did not"),
        (0, [], ["a[1]"], "a[1] had to fail and did not"),
        (1, ["b[2]"], [], "b[2] failed"),
        (1, [], [], "exit status 1"),
        (3, [], [], "no verdict: exit status 3"),
        (3, ["a[1]"], ["a[1]"], "no verdict: exit status 3"),
        (2, [], ["a[1]"], "no verdict: exit status 2"),
    ],
)
def test_the_difference_is_named(status: int, failed: list[str], wanted: list[str], text: str) -> None:
    assert shipped.difference(status, failed, wanted) == text


def test_every_shipped_scenario_is_verified_and_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`invoke` is played: every scenario fails one check."""
    played = tmp_path / "bin"
    played.mkdir()
    verdict = '{"checks": [{"id": "viable[00:01.0]", "outcome": "failed"}], "seconds": {"total": 7}}'
    (played / "invoke").write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/said\nmkdir -p "$5/report"\n'
        f"printf '%s' '{verdict}' > \"$5/report/verdict.json\"\nexit 1\n"
    )
    (played / "invoke").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(played / "python"))
    found = {one.name: one for one in shipped.verify_all(tmp_path / "out", ["--fast"])}
    assert set(found) == set(shipped.names()) >= {"rx560", "rx560-2019", "bad-group"}
    assert found["bad-group"].difference == ""
    assert found["rx560"].difference == "viable[00:01.0] failed"
    assert found["rx560"].seconds == 7
    said = (tmp_path / "said").read_text()
    assert f"verify --scenario rx560 --output {tmp_path}/out/rx560 --no-lint --fast\n" in said
    assert (tmp_path / "out/rx560.log").exists()
