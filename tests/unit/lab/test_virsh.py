"""The monitor in L1, with a real program at the other end of the conversation in place of virsh."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipeline.errors import LabFault
from pipeline.lab.shell import Done, Session
from pipeline.lab.virsh import Virsh

# Reads commands as virsh does: one a line, quoted as in a shell; readline shows each behind the prompt.
# Its echo ends no line (ran, libvirt 11.3).
FAKE = """
import json, shlex, sys
for line in sys.stdin:
    words = shlex.split(line)
    sys.stdout.write("virsh # " + line)
    if words[0] == "echo":
        print(words[1], end="")
    else:
        asked = json.loads(words[2])
        match asked["execute"]:
            case "query-name":
                print(json.dumps({"return": {"name": words[1]}, "id": "libvirt-1"}) + "\\n")
            case "human-monitor-command":
                print(json.dumps({"return": asked["arguments"]["command-line"]}) + "\\n")
            case "pmemsave":
                print(json.dumps({"return": {}}) + "\\n")
            case "die":
                sys.exit("died")
            case "mute":
                print("error: Timed out during operation: cannot acquire state change lock\\n")
            case _:
                print(json.dumps({"id": "1", "error": {"class": "X", "desc": "The command is not there"}}) + "\\n")
    sys.stdout.flush()
"""


class Channel:
    """A process as a channel of paramiko."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def settimeout(self, _: float) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def recv(self, _: int) -> bytes:
        assert self._process.stdout
        return self._process.stdout.read1(7)  # type: ignore[attr-defined,no-any-return]


class Shell:
    """L1's shell: it reads what QEMU has saved."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def run(self, command: str, *, timeout: float = 60) -> Done:
        assert command.startswith("base64 -w 0 /tmp/")
        return Done(status=0, out=base64.b64encode(self.data).decode(), err="")


@pytest.fixture
def session() -> Iterator[Session]:
    with subprocess.Popen(
        [sys.executable, "-c", FAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Session(Channel(process), "virsh")  # type: ignore[arg-type]
        process.kill()


def test_answers_come_to_what_was_asked(session: Session) -> None:
    virsh = Virsh(session, Shell(b""), "win 10's")  # type: ignore[arg-type]
    assert virsh.execute("query-name") == {"name": "win 10's"}
    for number in range(12):
        line = f"info 'qtree' \"{number}\" {{}} dryboot-1"
        assert virsh.execute("human-monitor-command", **{"command-line": line}) == line


def test_what_qemu_refuses_is_said_in_its_words_and_the_next_question_is_answered(session: Session) -> None:
    virsh = Virsh(session, Shell(b""), "win10")  # type: ignore[arg-type]
    with pytest.raises(LabFault, match="The command is not there"):
        virsh.execute("x-query")
    with pytest.raises(LabFault, match="cannot acquire state change lock"):
        virsh.execute("mute")
    assert virsh.execute("query-name") == {"name": "win10"}


def test_a_virsh_that_ends_is_a_lab_fault(session: Session) -> None:
    with pytest.raises(LabFault, match=r"ended|broke"):
        Virsh(session, Shell(b""), "win10").execute("die")  # type: ignore[arg-type]


def test_memory_comes_whole_or_not_at_all(session: Session) -> None:
    data = bytes(range(256)) * 2
    virsh = Virsh(session, Shell(data), "win10")  # type: ignore[arg-type]
    assert virsh.read_memory(0x1000, 512) == data
    with pytest.raises(LabFault, match="saved 512 of 1024"):
        virsh.read_memory(0x1000, 1024)


def test_no_answer_is_a_lab_fault_in_time(session: Session) -> None:
    class Silent:
        def settimeout(self, _: float) -> None:
            pass

        def sendall(self, _: bytes) -> None:
            pass

        def recv(self, _: int) -> bytes:
            raise TimeoutError

    with pytest.raises(LabFault, match=r"did not answer in 0 s"):
        Session(Silent(), "virsh").ask("x", "y", timeout=0.01)  # type: ignore[arg-type]


def test_the_fake_reads_what_is_really_sent() -> None:
    assert shlex.split(shlex.quote(json.dumps({"a": "'"}))) == [json.dumps({"a": "'"})]
