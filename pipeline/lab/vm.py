"""One QEMU process: started, spoken to over QMP, watched, ended."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient, QMPError

from pipeline.errors import LabFault
from pipeline.lab.process import child, tail
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.toolchain import Qemu

SERIAL = "serial.log"


class Refused(LabFault):
    """QEMU ended by itself before it answered, with its own words: it does not take what it was given."""


@dataclass(kw_only=True, slots=True)
class Machine:
    """A running QEMU. Its serial line is in `serial`, its messages in `log`."""

    process: subprocess.Popen[bytes]
    serial: Path
    log: Path
    what: str
    _qmp: QMPClient
    _runner: asyncio.Runner = field(repr=False)

    def execute(self, command: str, **arguments: object) -> Any:
        """A QMP command's answer; raises LabFault where QEMU is gone or refuses."""
        try:
            return self._runner.run(
                asyncio.wait_for(self._qmp.execute(command, arguments or None), timeout=30)
            )
        except (QMPError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.check()
            raise LabFault(f"QEMU did not answer {command}: {error}") from error

    def read_memory(self, address: int, size: int) -> bytes:
        """`size` bytes from a guest physical address, of RAM or MMIO; raises LabFault where QEMU refuses."""
        name = f"memory-{address:x}"
        path = self.serial.parent / name
        self.execute("pmemsave", val=address, size=size, filename=name)
        try:
            return path.read_bytes()
        except OSError as error:
            raise LabFault(f"cannot read what QEMU saved of the guest's memory: {error.strerror}") from error
        finally:
            path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raises LabFault if QEMU has ended."""
        status = self.process.poll()
        if status is not None:
            raise LabFault(f"QEMU of {self.what} {_ended(status)}\n{tail(self.log, 6)}".rstrip())

    def forwarded_port(self) -> int:
        """The port of 127.0.0.1 that leads to port 22 of L1."""
        text = self.execute("human-monitor-command", **{"command-line": "info usernet"})
        found = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s", str(text))
        if found is None:
            raise LabFault(f"QEMU forwards no port to L1:\n{text}")
        return int(found[1])


def _ended(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended with {status}"


@contextlib.contextmanager
def machine(
    qemu: Qemu,
    arguments: Sequence[str],
    *,
    run: RunDirectory,
    name: str = "l1",
    what: str = "L1",
    own_line: bool = False,
    patience: float = 60,
) -> Iterator[Machine]:
    """Start `qemu` with `arguments`; it has ended when the context is left. Messages call it `what`.

    QMP goes over a socket pair, so nothing is left in the file system. The serial line is logged; with `own_line` the
    arguments have one themselves.

    Raises Refused where QEMU itself ends with an error, LabFault if it does not start for another reason, or does not
    answer within `patience` seconds.
    """
    ours, theirs = socket.socketpair()
    serial = run.path / f"{name}-{SERIAL}"
    monitor = ["-chardev", f"socket,id=qmp,fd={theirs.fileno()}", "-mon", "chardev=qmp,mode=control"]
    if not own_line:
        monitor += ("-chardev", f"file,id=serial,path={serial.name}", "-serial", "chardev:serial")
    with (
        contextlib.closing(ours),
        child(
            [*qemu.argv, *arguments, *monitor],
            run=run,
            name=name,
            environment=qemu.merged_environment(),
            pass_fds=[theirs.fileno()],
        ) as process,
    ):
        theirs.close()
        log = run.path / f"{name}.log"
        with asyncio.Runner() as runner:
            qmp = QMPClient(name)
            try:
                runner.run(asyncio.wait_for(qmp.connect(ours), timeout=patience))
            except (QMPError, OSError, TimeoutError) as error:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=2)
                kind = Refused if (process.returncode or 0) > 0 else LabFault
                raise kind(f"QEMU did not start: {tail(log, 6) or error}") from error
            try:
                yield Machine(process=process, serial=serial, log=log, what=what, _qmp=qmp, _runner=runner)
            finally:
                with contextlib.suppress(QMPError, OSError, EOFError, asyncio.TimeoutError):
                    runner.run(asyncio.wait_for(qmp.disconnect(), timeout=5))
