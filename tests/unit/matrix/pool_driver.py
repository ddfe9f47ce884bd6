"""Runs cells of the played lanes as `invoke matrix` does: the journal first, then the pool."""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from pathlib import Path

from pipeline.matrix import pool
from pipeline.matrix.journal import Journal
from tests.unit.matrix.conftest import LANES, job


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(folder: str, what: str, *versions: str) -> None:
    journal = Journal(Path(folder))
    jobs = [job(version, what) for version in versions]
    with journal.held():
        left = [one for one in jobs if journal.finished(one.key, one.cell.name) is None]
        keys = {one.cell: one.key for one in left}
        with closing(pool.run(left, lanes=LANES, at_once=2)) as results:
            for result in results:
                journal.write(keys[result.cell], result)
                sys.stdout.write(f"{result.cell.machine} {result.ended.value}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    main(*sys.argv[1:])
