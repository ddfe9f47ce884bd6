"""The whole chain in virtual machines: the shipped scenario holds, and each mistake is caught by booting it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from junitparser import JUnitXml

from pipeline.lab import cache

pytestmark = pytest.mark.vm

CHECKOUT = Path(__file__).resolve().parent.parent.parent
INVOKE = Path(sys.executable).with_name("invoke")
SECONDS = 900


def command(output: Path, *options: str, scenario: str = "rx560") -> list[str]:
    return [str(INVOKE), "verify", "--scenario", scenario, "--output", str(output), *options]


def verdict(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "report/verdict.json").read_text())
    return found


def leftovers() -> list[str]:
    """Processes and run directories of runs that have ended; those of a run that goes on elsewhere are not meant."""
    folders = cache.runs().iterdir() if cache.runs().exists() else ()
    names = [path.name for path in folders if not psutil.pid_exists(int(path.name.partition("-")[0]))]
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if ("vfio-user-pci" in line or "pipeline.lab.device.server" in line) and not run_of(process):
            names.append(line[:80])
    return names


def run_of(process: psutil.Process) -> bool:
    """Whether the run that started a process goes on: an orphan is nobody's. What is gone itself is no concern."""
    try:
        above = [Path(word).name for parent in process.parents() for word in parent.cmdline()]
        return bool({"invoke", "pytest"} & set(above))
    except psutil.NoSuchProcess:
        return True


def test_the_shipped_scenario_holds(tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = subprocess.run(
        command(output), cwd=CHECKOUT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = verdict(output)
    assert {check["outcome"] for check in found["checks"]} == {"held"}
    assert all(
        check["expected"] and check["observed"] and check["place"]["line"] for check in found["checks"]
    )
    stages = [check["stage"] for check in found["checks"]]
    assert stages.count("host") > 20
    assert stages.count("guest") == 8
    assert {"kernel", "distribution", "initramfs generator", "boot loader"} <= {
        one["part"] for one in found["stand_ins"]
    }
    assert found["accelerator"].startswith(("tcg: ", "kvm: "))
    assert 0 < found["peak_memory_mib"] < 5 * 1024
    junit = JUnitXml.fromfile(str(output / "report/junit.xml"))
    assert junit.failures == 0
    assert junit.tests == len(found["checks"])
    assert leftovers() == []


@pytest.mark.parametrize(
    ("scenario", "setting", "failing", "place"),
    [
        pytest.param(
            "rx560",
            'host.vfio.ids=["148c:2385", "1002:aae0"]',
            "binding[01:00.0]",
            "--set host.vfio.ids",
            id="subsystem-id",
        ),
        pytest.param(
            "identical-cards",
            'host.vfio.ids=["1002:67ef", "1002:aae0"]',
            "stays[05:00.0]",
            "--set host.vfio.ids",
            id="ids-of-identical-cards",
        ),
        pytest.param(
            "rx560",
            'guest.host_devices=[{source: "01:00.0"}, {source: "01:00.2"}]',
            "domain-started[win10]",
            "--set guest.host_devices",
            id="wrong-function-in-the-domain",
        ),
    ],
)
def test_a_mistake_is_caught_by_booting_it(
    tmp_path: Path, scenario: str, setting: str, failing: str, place: str
) -> None:
    output = tmp_path / "out"
    argv = command(output, "--no-lint", "--set", setting, scenario=scenario)
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    failed = {check["id"]: check for check in verdict(output)["checks"] if check["outcome"] == "failed"}
    assert failed[failing]["place"]["file"] == place
    assert f"{failing} failed" in done.stdout
    assert leftovers() == []


@pytest.mark.parametrize("scenario", ["rx560", "arch-systemd-boot"])
def test_the_way_back_leads_back(tmp_path: Path, scenario: str) -> None:
    argv = command(tmp_path / "out", "--boot", "fallback", scenario=scenario)
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = verdict(tmp_path / "out")
    assert found["versions"]["menu entry"] == "Without passthrough"
    held = {check["id"] for check in found["checks"] if check["outcome"] == "held"}
    assert {"stays[01:00.0]", "own-driver[01:00.0]", "own-driver[01:00.1]"} <= held


@contextlib.contextmanager
def running(output: Path, until: str) -> Iterator[subprocess.Popen[str]]:
    """A verify that has come to the step `until`."""
    process = subprocess.Popen(
        command(output), cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if until in line:
                break
        yield process
    finally:
        process.kill()
        process.wait()


def below(process: subprocess.Popen[str], word: str) -> psutil.Process:
    children = psutil.Process(process.pid).children(recursive=True)
    return next(child for child in children if word in " ".join(child.cmdline()))


def gone(timeout: float = 20) -> bool:
    """Whether no process of a run is left before `timeout` seconds are over."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not [name for name in leftovers() if "/" in name or " " in name]:
            return True
        time.sleep(0.2)
    return False


@pytest.mark.parametrize("word", ["vfio-user-pci", "pipeline.lab.device.server"])
def test_a_killed_part_of_the_lab_is_a_lab_fault(tmp_path: Path, word: str) -> None:
    output = tmp_path / "out"
    with running(output, "booting the host") as process:
        time.sleep(5)
        below(process, word).kill()
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 3, said
    found = verdict(output)
    assert found["outcome"] == "lab fault"
    assert found["lab_fault"]
    assert not [check for check in found["checks"] if check["outcome"] == "failed"]
    assert leftovers() == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 130)]
)
def test_a_killed_run_leaves_nothing(tmp_path: Path, number: int, status: int) -> None:
    output = tmp_path / "out"
    with running(output, "booting the host") as process:
        time.sleep(3)
        os.kill(process.pid, number)
        process.communicate(timeout=60)
        assert process.returncode == status
    assert gone()
    assert not (output / "report").exists()
    done = subprocess.run(
        [str(INVOKE), "build", "--scenario", "rx560", "--output", str(output)],
        cwd=CHECKOUT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0


def test_the_only_card_is_handed_over_and_given_back(tmp_path: Path) -> None:
    output = tmp_path / "out"
    argv = command(output, scenario="single-gpu")
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = verdict(output)
    assert {check["outcome"] for check in found["checks"]} == {"held"}
    held = {check["id"] for check in found["checks"]}
    assert {"handed-over[02:00.0]", "display-stopped[sddm.service]", "screen-freed[win10]"} <= held
    assert {"given-back[02:00.0]", "display-back[sddm.service]", "screen-back[win10]"} <= held
    said = (output / "report/logs/l1-hook.log").read_text()
    assert said == "win10: the host has let go of the card\nwin10: the host has taken the card back\n"
    assert {"display manager", "frame buffers"} <= {one["part"] for one in found["stand_ins"]}
    assert leftovers() == []
