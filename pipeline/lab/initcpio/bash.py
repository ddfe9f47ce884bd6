"""Has bash read a file of the host's, and takes back what it holds.

The file sees no environment of ours, cannot put a byte into any file, and is ended when it takes or says too
much. What it asks of the file system, it asks of this machine's.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from pathlib import Path

from pipeline.errors import LabFault

SECONDS = 10.0
_MOST = 1 << 20
_END = "end"


def read(script: str, path: Path, shown: str) -> list[str]:
    """The fields that `script` prints, each with a NUL after it; `path` is its $1 and called `shown` in messages.

    Raises ValueError with bash's message where the file cannot be read, LabFault where bash cannot run.
    """
    argv = ["setpriv", "--pdeathsig", "KILL", "--", "prlimit", "--fsize=0", "--core=0", "--"]
    argv += [
        "bash",
        "--norc",
        "--noprofile",
        "-o",
        "noclobber",
        "-c",
        f"{script}printf '{_END}\\0'",
        "bash",
        str(path),
    ]
    try:
        process = subprocess.Popen(
            argv,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            # SIGXFSZ stays ignored: what writes is told that it cannot, and goes on.
            restore_signals=False,
        )
    except OSError as error:
        raise LabFault(f"bash could not read {shown}: {error}") from error
    with process:
        try:
            said, complained = _listen(process, shown)
        finally:
            # Its children too: they hold the pipes.
            _end(process)
    message = complained.decode(errors="replace").replace(str(path), shown).strip()
    if process.returncode:
        raise ValueError(message or f"bash ended with {process.returncode}")
    *fields, end = said.decode(errors="replace").split("\0")[:-1] or [""]
    if end != _END:
        raise ValueError(f"{shown} does not come to its end")
    return fields


def _listen(process: subprocess.Popen[bytes], shown: str) -> tuple[bytes, bytes]:
    """What the process says on its two pipes until it has ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    said = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    deadline = time.monotonic() + SECONDS
    with selectors.DefaultSelector() as selector:
        for number in said:
            selector.register(number, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(deadline - time.monotonic(), 0))
            if not ready:
                raise ValueError(f"{shown} does not come to its end within {SECONDS:.0f} s")
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                said[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
                if len(said[key.fd]) > _MOST:
                    raise ValueError(f"{shown} prints more than {_MOST >> 20} MiB")
    try:
        process.wait(max(deadline - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        raise ValueError(f"{shown} does not come to its end within {SECONDS:.0f} s") from None
    first, second = said.values()
    return bytes(first), bytes(second)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
