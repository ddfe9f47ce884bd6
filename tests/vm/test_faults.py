"""Faults of the catalogue, booted with lint off: a setting, a file of the host, the boot loader's file, the domain.

The others are booted by `invoke faults --boot`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.vm

CHECKOUT = Path(__file__).resolve().parent.parent.parent
INVOKE = Path(sys.executable).with_name("invoke")
FAULTS = ("audio-id-missing", "blank-in-the-ids", "grub-quote-missing", "same-boot-order")


def test_faults_fail_for_the_stated_reason(tmp_path: Path) -> None:
    argv = [str(INVOKE), "faults", "--boot", "--jobs", "1", "--output", str(tmp_path / "runs")]
    argv += ["--report", str(tmp_path / "report"), *(f"--only={name}" for name in FAULTS)]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=2400, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads((tmp_path / "report/faults.json").read_text())
    assert {one["name"]: one["shown"] for one in found["boot"]} == dict.fromkeys(FAULTS, "failed as stated")
    assert "boot: 4 of 4 failed as stated" in done.stdout
