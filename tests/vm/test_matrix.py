"""Cells of the nested lane: the QEMU under test runs in the host and has the functions from vfio-pci."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.matrix.job import RESULT
from pipeline.matrix.result import CellResult, Ended

pytestmark = pytest.mark.vm

CHECKOUT = Path(__file__).resolve().parent.parent.parent
INVOKE = Path(sys.executable).with_name("invoke")
SECONDS = 1200


def nested(output: Path, *options: str) -> tuple[int, CellResult, str]:
    done = subprocess.run(
        [
            *(str(INVOKE), "matrix", "--scenario", "rx560", "--qemu", "11.1", "--machines", "9.2"),
            *("--lane", "nested", "--output", str(output), *options),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    [path] = (output / "cells").glob("*.json")
    return done.returncode, RESULT.validate_python(json.loads(path.read_text())["result"]), done.stdout


def test_the_release_under_test_has_the_functions_from_vfio_pci_and_is_looked_at(tmp_path: Path) -> None:
    status, found, said = nested(tmp_path / "out")
    assert (status, found.ended) == (0, Ended.HELD), said
    checks = {check.name: check.observed for check in found.checks}
    assert checks["first-driver[01:00.0]"] == checks["first-driver[01:00.1]"] == "vfio-pci"
    assert (checks["guest-function[01:00.0]"], checks["guest-function[01:00.1]"]) == (
        "1002:67ef",
        "1002:aae0",
    )
    assert checks["machine[win10]"] == "pc-q35-9.2"
    assert any("QEMU 11.1 is under test" in one for one in found.stand_ins)
    assert found.fingerprint
    facts = found.fingerprint.facts
    assert [path for path, value in facts.items() if path.startswith("pci/") and value == "1002:67ef"]
    assert facts["smbios/1/version"] == "pc-q35-9.2"


def test_a_host_that_does_not_give_the_functions_fails_the_cell(tmp_path: Path) -> None:
    wrong = 'host.vfio.ids=["148c:2385", "1002:aae0"]'
    status, found, said = nested(tmp_path / "out", "--set", wrong)
    assert (status, found.ended) == (1, Ended.FAILED), said
    assert "first-driver[01:00.0]" in {check.name for check in found.checks if not check.held}
    assert found.console
