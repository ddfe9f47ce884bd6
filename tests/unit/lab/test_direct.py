from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LabFault
from pipeline.lab import direct
from pipeline.lab import line as lines
from pipeline.lab.line import Line
from pipeline.lab.payload import END
from pipeline.lab.run_directory import RunDirectory


@given(st.text(alphabet="aD\n\r -", max_size=30), st.text(max_size=30))
def test_what_is_said_counts_up_to_the_payloads_end_whatever_follows(before: str, after: str) -> None:
    whole = direct.up_to_the_end(f"{before}\n{END}\r\n{after}".encode())
    assert whole is not None
    assert whole == direct.up_to_the_end(f"{before}\n{END}".encode())
    assert whole.endswith(f"{END}\n")


@pytest.mark.parametrize("said", [b"", b"DRYBOOT-EN", b"echo DRYBOOT-END\n", b"0000 DRYBOOT-END"])
def test_without_its_end_it_is_not_through(said: bytes) -> None:
    assert direct.up_to_the_end(said) is None


def test_escapes_before_the_end_do_not_hide_it() -> None:
    assert direct.up_to_the_end(b"x\r\n\x1b[0m\x1b[37mDRYBOOT-END\r") == "x\nDRYBOOT-END\n"


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with lines.line(RunDirectory(tmp_path), "line") as line:
        yield line


PLAYER = """
import os, sys, time
line, script = sys.argv[1:]
out, keys = (os.open(f"{line}.{way}", os.O_RDWR) for way in ("out", "in"))
exec(script)
"""


def listen(line: Line, script: str, deadline: float = 20) -> tuple[tuple[str, bool], dict[str, float]]:
    """Listen to a guest that is played by `script`."""
    path = Path(f"/proc/self/fd/{line.output}").readlink().with_suffix("")
    with subprocess.Popen([sys.executable, "-c", PLAYER, str(path), script]) as process:

        def check() -> None:
            if process.poll() is not None:
                raise LabFault(f"QEMU ended with {process.returncode}")

        guest: Any = SimpleNamespace(process=process, check=check)
        times: dict[str, float] = {}
        # The real one has both ways open before it answers its monitor.
        time.sleep(0.5)
        try:
            return direct._listen(line, guest, time.monotonic(), deadline, times), times
        finally:
            process.kill()


def test_what_is_said_is_heard_up_to_the_payload_s_end(line: Line) -> None:
    script = """
os.write(out, b"BdsDxe: starting Boot0001\\r\\nUEFI Interactive Shell")
time.sleep(0.1)
os.write(out, b"\\r\\nDRYBOOT-BEGIN\\r\\nDRYBOOT-END\\r\\nShell> ")
time.sleep(20)
"""
    (said, through), times = listen(line, script)
    assert through
    assert said.endswith("DRYBOOT-BEGIN\nDRYBOOT-END\n")
    assert {"first word", "boot loader", "shell", "payload", "payload's end"} == set(times)


def test_a_firmware_that_gives_up_is_not_waited_for(line: Line) -> None:
    script = "os.write(out, b'BdsDxe: No bootable option or device was found.\\r\\n'); time.sleep(20)"
    (said, through), _ = listen(line, script)
    assert not through
    assert "No bootable option" in said


def test_a_qemu_that_dies_is_a_lab_fault_at_once(line: Line) -> None:
    started = time.monotonic()
    with pytest.raises(LabFault, match="QEMU ended with 3"):
        listen(line, "time.sleep(1); sys.exit(3)")
    assert time.monotonic() - started < 10


def test_a_guest_that_says_nothing_is_a_lab_fault_at_its_deadline(line: Line) -> None:
    with pytest.raises(LabFault, match=r"not come to its end in 0\.6 s"):
        listen(line, "time.sleep(20)", deadline=0.6)
