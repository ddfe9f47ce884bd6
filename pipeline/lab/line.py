"""A guest's serial line over named pipes.

QEMU drops a byte that it cannot pass on after four tries (hw/char/serial.c, MAX_XMIT_RETRY), and a guest sends one at a
time. A Unix socket holds 278 such bytes until its reader comes, a pipe 65536 (ran, Linux): more than a payload says.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.lab.run_directory import RunDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Our ends of the pipes; `backend` is the back end for QEMU, without its id. `fileno` is for select.

    Nothing is said over `input`, but QEMU wants it there.
    """

    backend: str
    output: int
    input: int

    def fileno(self) -> int:
        """What can be read from when the guest has said something."""
        return self.output

    def read(self) -> bytes:
        """What the guest has said; empty when QEMU has closed the line."""
        return os.read(self.output, 65536)


@contextlib.contextmanager
def line(run: RunDirectory, name: str) -> Iterator[Line]:
    """The line NAME; QEMU runs in the run directory, and opens it before it answers its monitor."""
    path = run.path / name
    with contextlib.ExitStack() as stack:
        ends = []
        # Neither waits for QEMU: reading is without blocking, and there is no wait for a reader that we are as well.
        for end, mode in (("out", os.O_RDONLY | os.O_NONBLOCK), ("in", os.O_RDWR)):
            os.mkfifo(f"{path}.{end}", 0o600)
            ends.append(os.open(f"{path}.{end}", mode | os.O_CLOEXEC))
            stack.callback(os.close, ends[-1])
        yield Line(backend=f"pipe,path={name}", output=ends[0], input=ends[1])
