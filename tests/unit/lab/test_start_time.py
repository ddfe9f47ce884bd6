from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from pipeline.lab.start_time import start_time


def test_it_is_the_kernel_s_and_the_same_to_every_process() -> None:
    script = f"from pipeline.lab.start_time import start_time; print(start_time({os.getpid()}))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(said.stdout) == start_time(os.getpid())
    ticks = os.sysconf("SC_CLK_TCK")
    assert start_time(os.getpid()) / ticks + psutil.boot_time() == pytest.approx(
        psutil.Process().create_time(), abs=2
    )


def test_a_name_that_looks_like_fields_does_not_matter() -> None:
    with subprocess.Popen(
        ["bash", "-c", "printf ') 1 (2' > /proc/$$/comm; echo named; read"], stdin=-1, stdout=-1
    ) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == b"named\n"
        assert start_time(one.pid) >= start_time(os.getpid())


def test_a_process_that_is_not_there() -> None:
    with pytest.raises(ProcessLookupError):
        start_time(2**22 + 1)
