"""Faults as runs of verify; `invoke` is played."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.faults import booting
from pipeline.faults.judge import Shown
from pipeline.faults.loader import read_all


def test_each_bootable_fault_becomes_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    played = tmp_path / "bin"
    played.mkdir()
    verdict = '{"checks": [{"id": "binding[01:00.0]", "outcome": "failed"}]}'
    (played / "invoke").write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/said\nmkdir -p "$5/report"\n'
        f'for one in "$@"; do case $one in --files=*) cp -r "${{one#--files=}}" {tmp_path}/bundle;; esac; done\n'
        f"printf '%s' '{verdict}' > \"$5/report/verdict.json\"\nexit 1\n"
    )
    (played / "invoke").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(played / "python"))
    catalogue = read_all(["subsystem-id", "grub-quote-missing", "option-for-options", "amd-iommu-on"])
    found = {one.name: one for one in booting.faults(catalogue, tmp_path / "out", workers=1, options=["--x"])}
    assert set(found) == {"subsystem-id", "grub-quote-missing", "option-for-options"}
    assert found["subsystem-id"].shown is Shown.AS_STATED
    assert found["grub-quote-missing"].shown is Shown.OTHERWISE
    said = (tmp_path / "said").read_text().splitlines()
    (first,) = [line for line in said if "out/subsystem-id" in line]
    assert first.endswith('--no-lint --set=host.vfio.ids=["148c:2385", "1002:aae0"] --fast --x')
    (second,) = [line for line in said if "out/grub-quote-missing" in line]
    assert "--fast" not in second
    assert "--files=" in second
    assert "iommu=pt\n" in (tmp_path / "bundle/etc/default/grub").read_text()
