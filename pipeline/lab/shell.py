"""A shell on L1 over ssh: one connection, commands with a deadline."""

from __future__ import annotations

import contextlib
import logging
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.errors import LabFault

# Its transport prints a traceback for every try while nobody listens yet.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

_FAULTS = (paramiko.SSHException, OSError, EOFError)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPair:
    """An ed25519 key as OpenSSH writes it."""

    private: bytes
    public: bytes


def key_pair() -> KeyPair:
    """A fresh key; one for L1 itself and one for its visitor are made for each run."""
    key = Ed25519PrivateKey.generate()
    return KeyPair(
        private=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        ),
        public=key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        + b"\n",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What a command left: exit status and what it wrote."""

    status: int
    out: str
    err: str


class Shell:
    """Runs commands as root on L1; a broken connection is a lab fault."""

    def __init__(self, client: paramiko.SSHClient) -> None:
        self._client = client

    @classmethod
    def connect(cls, *, port: int, identity: Path, known_hosts: Path, timeout: float) -> Shell:
        """Log in at 127.0.0.1; raises OSError or paramiko.SSHException while nobody answers."""
        client = paramiko.SSHClient()
        client.load_host_keys(str(known_hosts))
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            client.connect(
                "127.0.0.1",
                port=port,
                username="root",
                key_filename=str(identity),
                allow_agent=False,
                look_for_keys=False,
                timeout=timeout,
                banner_timeout=timeout,
                auth_timeout=timeout,
            )
        except BaseException:
            client.close()
            raise
        return cls(client)

    @property
    def client(self) -> paramiko.SSHClient:
        """The connection, for others that speak through it."""
        return self._client

    def run(self, command: str, *, timeout: float = 60, data: bytes = b"") -> Done:
        """Run `command` with `data` as its input; raises LabFault when there is no answer in `timeout` seconds."""
        deadline = time.monotonic() + timeout
        try:
            channel = self._open(command, timeout)
            if data:
                channel.sendall(data)
            channel.shutdown_write()
            out, err = bytearray(), bytearray()
            while not (
                channel.exit_status_ready() and not channel.recv_ready() and not channel.recv_stderr_ready()
            ):
                if time.monotonic() > deadline:
                    raise LabFault(f"L1 did not end `{command[:60]}` in {timeout:.0f} s")
                moved = False
                while channel.recv_ready():
                    out += channel.recv(1 << 16)
                    moved = True
                while channel.recv_stderr_ready():
                    err += channel.recv_stderr(1 << 16)
                    moved = True
                if not moved:
                    time.sleep(0.02)
                    if channel.closed and not channel.exit_status_ready():
                        raise LabFault(f"L1 went away during `{command[:60]}`")
            out += _rest(channel)
            return Done(status=channel.recv_exit_status(), out=_text(out), err=_text(err))
        except _FAULTS as error:
            raise LabFault(f"the connection to L1 broke during `{command[:60]}`: {error}") from error

    def stream(self, command: str, *, timeout: float) -> Iterator[str]:
        """Lines of `command`'s output as they come, until it ends or `timeout` seconds are over."""
        deadline = time.monotonic() + timeout
        try:
            channel = self._open(command, timeout)
            channel.settimeout(1.0)
            rest = b""
            try:
                while time.monotonic() < deadline:
                    try:
                        piece = channel.recv(1 << 16)
                    except TimeoutError:
                        continue
                    if not piece:
                        return
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        yield _text(line)
            finally:
                channel.close()
        except _FAULTS as error:
            raise LabFault(f"the connection to L1 broke during `{command[:60]}`: {error}") from error

    @contextlib.contextmanager
    def session(self, command: str) -> Iterator[Session]:
        """A program on L1 that is given lines and answers; it ends with the context."""
        try:
            channel = self._open(command, 60)
        except _FAULTS as error:
            raise LabFault(f"the connection to L1 broke before `{command[:60]}`: {error}") from error
        try:
            yield Session(channel, command)
        finally:
            channel.close()

    def read(self, path: str) -> str:
        """The contents of a file on L1, empty where there is none."""
        return self.run(f"cat {shlex.quote(path)}").out

    def write(self, path: str, data: bytes) -> None:
        """Put a file on L1."""
        done = self.run(f"cat > {shlex.quote(path)}", data=data)
        if done.status:
            raise LabFault(f"cannot write {path} on L1: {done.err.strip()}")

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _open(self, command: str, timeout: float) -> paramiko.Channel:
        transport = self._client.get_transport()
        if transport is None:
            raise LabFault("there is no connection to L1")
        channel = transport.open_session(timeout=timeout)
        channel.exec_command(command)
        return channel


class Session:
    """The conversation with a program that goes on running."""

    def __init__(self, channel: paramiko.Channel, command: str) -> None:
        self._channel = channel
        self._command = command
        self._rest = b""

    def ask(self, line: str, end: str, *, timeout: float = 60) -> str:
        """Send `line` and give what comes before `end`; raises LabFault when that does not come."""
        deadline = time.monotonic() + timeout
        mark = end.encode()
        try:
            self._channel.settimeout(1.0)
            self._channel.sendall(line.encode() + b"\n")
            while mark not in self._rest:
                if time.monotonic() > deadline:
                    raise LabFault(f"`{self._command}` did not answer in {timeout:.0f} s")
                try:
                    piece = self._channel.recv(1 << 16)
                except TimeoutError:
                    continue
                if not piece:
                    raise LabFault(f"`{self._command}` ended: {_text(self._rest[-300:])}")
                self._rest += piece
        except _FAULTS as error:
            raise LabFault(f"the connection to L1 broke during `{self._command}`: {error}") from error
        answer, _, self._rest = self._rest.partition(mark)
        return _text(answer)


def _rest(channel: paramiko.Channel) -> bytes:
    data = b""
    channel.settimeout(5)
    try:
        while piece := channel.recv(1 << 16):
            data += piece
    except TimeoutError:
        pass
    return data


def _text(data: bytes | bytearray) -> str:
    return bytes(data).decode("utf-8", errors="replace")
