"""The monitor of a guest's QEMU in L1, by way of libvirt: one virsh that goes on running.

Each start of virsh takes seconds under TCG, and what is asked takes dozens of answers.
"""

from __future__ import annotations

import base64
import contextlib
import json
import shlex
from collections.abc import Iterator
from typing import Any

from pipeline.errors import LabFault
from pipeline.lab.shell import Session, Shell

# QEMU writes it, as a user that may write here; root reads and removes it.
_PIECE = "/tmp/dryboot-memory"
_ERROR = "error: "


class Virsh:
    """Speaks QMP with the QEMU of one domain. A `Monitor` of pipeline.lab.sighting."""

    def __init__(self, session: Session, shell: Shell, domain: str) -> None:
        self._session = session
        self._shell = shell
        self._domain = domain
        self._number = 0

    def execute(self, command: str, **arguments: object) -> Any:
        """A QMP command's answer; raises LabFault where QEMU refuses it or nobody answers."""
        self._number += 1
        sent = json.dumps({"execute": command, "arguments": arguments} if arguments else {"execute": command})
        line = f"qemu-monitor-command {shlex.quote(self._domain)} {shlex.quote(sent)}"
        # readline shows what it is given, also without a terminal: the end is spelt otherwise there.
        text = self._session.ask(f"{line}\necho dryboot''-{self._number}.", f"dryboot-{self._number}.")
        answer = next(filter(None, map(_answer, reversed(text.splitlines()))), None)
        if answer is None:
            said = text[text.find(_ERROR) :].strip() if _ERROR in text else text.strip()[-300:]
            raise LabFault(f"libvirt in L1 did not pass {command} on: {said}")
        if "error" in answer:
            raise LabFault(str(answer["error"].get("desc", "refused")))
        return answer["return"]

    def read_memory(self, address: int, size: int) -> bytes:
        """`size` bytes of the guest's memory at a guest physical address."""
        self.execute("pmemsave", val=address, size=size, filename=_PIECE)
        done = self._shell.run(f"base64 -w 0 {_PIECE} && rm -f {_PIECE}", timeout=120)
        data = base64.b64decode(done.out) if done.status == 0 else b""
        if len(data) != size:
            raise LabFault(f"QEMU in L1 saved {len(data)} of {size} bytes of its guest's memory")
        return data


def _answer(line: str) -> dict[str, Any] | None:
    """QMP's answer, which is a line of its own; None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"return", "error"} & found.keys() else None


@contextlib.contextmanager
def virsh(shell: Shell, domain: str) -> Iterator[Virsh]:
    """The monitor of the running `domain`."""
    with shell.session("virsh -q") as session:
        yield Virsh(session, shell, domain)
