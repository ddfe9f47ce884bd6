"""A small vfio-user client, for tests and for measuring the server."""

from __future__ import annotations

import array
import multiprocessing
import os
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.lab.device import protocol
from pipeline.lab.device.protocol import Command


class Refused(Exception):
    """The server answered with an error; the errno is the argument."""


class Client:
    """One connection to an emulated function."""

    def __init__(self, path: Path) -> None:
        self.stream = socket.socket(socket.AF_UNIX)
        self.stream.settimeout(10)
        # A relative name, so that a long directory does not exceed the 107 bytes of a socket's address.
        with _Inside(path.parent) as folder:
            self.stream.connect(f"{folder}/{path.name}")
        self._number = 0

    def __enter__(self) -> Self:
        self.call(Command.VERSION, struct.pack("<HH", 0, 0) + b'{"capabilities":{}}\0')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()

    def call(self, command: int, payload: bytes = b"", fds: Sequence[int] = ()) -> bytes:
        """Send a request and give the reply's payload; raises Refused, or EOFError if the server hangs up."""
        self._number = self._number + 1 & 0xFFFF
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.stream.sendmsg([protocol.request(self._number, command, payload)], ancillary)
        number, _, size, flags, errno = struct.unpack("<HHIII", self._exactly(protocol.HEADER_SIZE))
        body = self._exactly(size - protocol.HEADER_SIZE)
        if number != self._number:
            raise ConnectionError(f"a reply to {number}, not to {self._number}")
        if flags & 0x20:
            raise Refused(errno)
        return body

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.stream.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def read(self, region: int, offset: int, count: int) -> bytes:
        """`count` bytes of a region."""
        answer = self.call(Command.REGION_READ, protocol.access_payload(offset, region, count))
        return protocol.access_data(answer)

    def write(self, region: int, offset: int, data: bytes) -> None:
        """Write to a region."""
        self.call(Command.REGION_WRITE, protocol.access_payload(offset, region, len(data), data))

    def config(self, offset: int, count: int) -> int:
        """A little-endian number from configuration space."""
        return int.from_bytes(self.read(protocol.CONFIG_REGION, offset, count), "little")


class _Inside:
    """A short name for a directory: its descriptor under /proc/self/fd."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        self._fd = os.open(self._folder, os.O_PATH)
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def measure_config_reads(path: Path, seconds: float) -> float:
    """Configuration space reads of 4 bytes a second, each one round trip."""
    with Client(path) as client:
        return _per_second(lambda: client.read(protocol.CONFIG_REGION, 0, 4), seconds)


def measure_echo_floor(seconds: float) -> float:
    """The floor: round trips a second of as many bytes with a process that only echoes."""
    ours, theirs = socket.socketpair()
    size = len(protocol.request(0, Command.REGION_READ, protocol.access_payload(0, 0, 4)))
    child = multiprocessing.get_context("fork").Process(target=_echo, args=(ours, theirs, size), daemon=True)
    child.start()
    theirs.close()
    try:
        message = bytes(size)

        def trip() -> None:
            ours.sendall(message)
            ours.recv(size + 4)

        return _per_second(trip, seconds)
    finally:
        ours.close()
        child.join(timeout=5)


def _echo(ours: socket.socket, theirs: socket.socket, size: int) -> None:
    ours.close()
    while data := theirs.recv(size):
        theirs.sendall(data + bytes(4))


def _per_second(trip: object, seconds: float) -> float:
    assert callable(trip)
    trips = 0
    started = time.perf_counter()
    while (now := time.perf_counter()) - started < seconds:
        trip()
        trips += 1
    return trips / (now - started)
