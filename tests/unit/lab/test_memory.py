"""The peak of memory counts what a run starts."""

from __future__ import annotations

import subprocess
import sys

import psutil

from pipeline.lab.memory import peak

HOLDS_64_MIB = "import sys; held = b'x' * (64 << 20); print(1, flush=True); sys.stdin.read()"


def test_the_peak_counts_children() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS_64_MIB], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"1\n"
    with peak() as found:
        pass
    child.communicate()
    assert found.bytes > (64 << 20) + 1
    assert found.bytes > psutil.Process().memory_info().rss // 2 + (64 << 20)


def test_there_is_a_peak_even_of_a_short_run() -> None:
    with peak() as found:
        pass
    assert found.bytes > 1 << 20
