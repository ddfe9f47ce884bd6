"""A serial line over named pipes, with a writer that is played."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.lab.line import line
from pipeline.lab.run_directory import RunDirectory


def test_it_holds_what_a_payload_says_byte_by_byte_before_its_reader_comes(tmp_path: Path) -> None:
    with line(RunDirectory(tmp_path), "cell-line") as ours:
        # As QEMU opens it (chardev/char-pipe.c): both ways, and it does not wait.
        guest = os.open(tmp_path / "cell-line.out", os.O_RDWR | os.O_NONBLOCK)
        for number in range(30000):
            assert os.write(guest, bytes([number % 256])) == 1
        said = ours.read()
        assert said == bytes(number % 256 for number in range(30000))
        os.close(guest)
        assert ours.read() == b""


def test_qemu_finds_both_ways(tmp_path: Path) -> None:
    with line(RunDirectory(tmp_path), "cell-line") as ours:
        for way in ("in", "out"):
            os.close(os.open(tmp_path / f"cell-line.{way}", os.O_RDWR | os.O_NONBLOCK))
        assert ours.backend == "pipe,path=cell-line"


def test_its_ends_are_closed_after_it(tmp_path: Path) -> None:
    with line(RunDirectory(tmp_path), "cell-line") as ours:
        ends = (ours.output, ours.input)
    for end in ends:
        try:
            os.fstat(end)
        except OSError:
            continue
        raise AssertionError(end)
