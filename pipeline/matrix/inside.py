"""The process of one cell: `python -m pipeline.matrix.inside PARENT LANES JOB RESULT`.

It is apart from the pool, so that a crash in it is the cell's own. SIGTERM unwinds what the lane has started.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from pipeline.errors import ExitCode
from pipeline.matrix.job import JOB, RESULT, Lanes, run


def main(arguments: Sequence[str]) -> ExitCode:
    """Run the job in the file JOB and put what came of it into the file RESULT, whole or not at all."""
    parent, lanes, job, result = arguments
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    # From here on the kernel ends this process with its parent; the parent may be gone already.
    if os.getppid() != int(parent):
        return ExitCode.INTERRUPTED
    try:
        found = run(JOB.validate_json(Path(job).read_bytes()), lanes_of(lanes))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    new = Path(f"{result}.new")
    new.write_bytes(RESULT.dump_json(found))
    new.rename(result)
    return ExitCode.HELD


def lanes_of(name: str) -> Lanes:
    """The lanes that `MODULE:NAME` names."""
    module, _, attribute = name.partition(":")
    return cast(Lanes, getattr(importlib.import_module(module), attribute))


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(int(main(sys.argv[1:])))
