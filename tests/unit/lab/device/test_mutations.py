"""A hundred thousand mutated messages: the server answers or ends the connection, and is the same afterwards."""

from __future__ import annotations

import array
import contextlib
import os
import random
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pytest

from pipeline.lab.device import protocol, registers
from pipeline.lab.device.protocol import Command

if TYPE_CHECKING:
    from .conftest import Served

Eventually = Callable[[Callable[[], bool]], bool]

MESSAGES = 100_000
BATCHES = 20
BURST = 12
GROWTH = 4 << 20
VERSION = protocol.request(0, Command.VERSION, struct.pack("<HH", 0, 0) + b"{}\0")
# The register page of the function that is spoken to.
PAGES = {"gpu": (5, (256 << 10) - 4096), "audio": (0, (16 << 10) - 4096)}
ODD = (0, 1, 0x10, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 64) - 1)

Message = tuple[bytes, tuple[int, ...]]


class Descriptors:
    """What a client may hand over: memory and eventfds as they should be, and others."""

    def __init__(self) -> None:
        self.memory = [os.memfd_create("memory") for _ in range(3)]
        self.events = [os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0), os.eventfd(0)]
        # A full one, which a write would wait for.
        os.eventfd_write(self.events[-1], (1 << 64) - 2)
        self.pipe = os.pipe()
        self.socket = socket.socketpair()
        with tempfile.NamedTemporaryFile() as file:
            self.read_only = os.open(file.name, os.O_RDONLY)
        self.odd = [
            *self.pipe,
            *(one.fileno() for one in self.socket),
            self.read_only,
            os.open("/dev/null", os.O_RDWR),
            os.open("/dev/zero", os.O_RDONLY),
            os.open("/", os.O_PATH),
        ]

    def resize(self, chance: random.Random) -> None:
        """Memory that shrinks and grows while the server has it mapped."""
        os.ftruncate(chance.choice(self.memory), chance.choice((0, 1, 4096, 1 << 20)))

    def some(self, chance: random.Random, command: int) -> tuple[int, ...]:
        if chance.random() < 0.15:
            return tuple(chance.choices(self.odd + self.memory + self.events, k=chance.randint(1, 9)))
        if command == Command.DMA_MAP:
            return (chance.choice(self.memory),)
        return (chance.choice(self.events),) if command == Command.DEVICE_SET_IRQS else ()

    def close(self) -> None:
        for one in self.socket:
            one.close()
        for fd in {*self.memory, *self.events, *self.pipe, *self.odd}:
            with contextlib.suppress(OSError):
                os.close(fd)


def _write(name: str, register: int, value: int, size: int = 4) -> tuple[int, bytes]:
    region, start = PAGES[name]
    data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    return Command.REGION_WRITE, protocol.access_payload(start + register, region, size, data)


def _session(name: str, chance: random.Random) -> list[tuple[int, bytes]]:
    """What a client says, one after the other, all of it allowed."""
    address, length = chance.choice((0, 0x1000, 0x9000)), chance.choice((1, 64, 2048))
    index = chance.randrange(9)
    return [
        (Command.DEVICE_GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)),
        (Command.DEVICE_GET_REGION_INFO, struct.pack("<IIIIQQ", chance.choice((32, 64)), 0, index, 0, 0, 0)),
        (Command.DEVICE_GET_IRQ_INFO, struct.pack("<IIII", 16, 0, chance.randrange(5), 0)),
        (Command.DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 0x1000, 0x2000)),
        (Command.DMA_UNMAP, struct.pack("<IIQQ", 24, 0, 0x1000, 0x2000)),
        (Command.DEVICE_SET_IRQS, struct.pack("<IIIII", 20, 0x24, chance.randrange(2), 0, 1)),
        (Command.DEVICE_SET_IRQS, struct.pack("<IIIII", 20, chance.choice((0x14, 0x11, 0x9)), 0, 0, 1)),
        (Command.REGION_READ, protocol.access_payload(0, 7, 64)),
        (Command.REGION_READ, protocol.access_payload(0x1000, 0, chance.choice((4, 65536)))),
        (Command.REGION_WRITE, protocol.access_payload(4, 7, 2, b"\6\0")),
        _write(name, registers.MAGIC, registers.TURN_ON),
        _write(name, registers.RAISE, chance.choice((1, 0x100))),
        _write(name, registers.DMA_ADDRESS, address, 8),
        _write(name, registers.DMA_LENGTH, length),
        _write(name, registers.DMA_COMMAND, chance.choice((1, 2))),
        _write(name, registers.DMA_BUFFER, 0x0123456789ABCDEF, 8),
        (Command.DMA_READ, struct.pack("<QQ", address, length) + bytes(length)),
        (Command.DMA_WRITE, struct.pack("<QQ", address, length)),
        (Command.DEVICE_RESET, b""),
        (Command.REGION_WRITE, protocol.access_payload(0x60, 7, 2, b"\x10\xa8")),
    ]


def _mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        # Mostly behind the header, for the connection to live longer.
        lowest = 16 if len(changed) > 16 and chance.random() < 0.7 else 0
        place = chance.randrange(lowest, len(changed)) if len(changed) > lowest else 0
        match chance.randrange(6):
            case 0 | 1 if changed:
                changed[place] ^= 1 << chance.randrange(8)
            case 2:
                width = chance.choice((2, 4, 8))
                value = (chance.choice(ODD) & (1 << 8 * width) - 1).to_bytes(width, "little")
                changed[place : place + width] = value
            case 3:
                del changed[place : place + chance.choice((1, 4, 16))]
            case 4:
                changed[place:place] = chance.randbytes(chance.choice((1, 4, 16)))
            case _:
                changed += chance.randbytes(chance.choice((1, 8, 300)))
    if len(changed) >= 8 and chance.random() < 0.8:
        struct.pack_into("<I", changed, 4, len(changed))
    return bytes(changed)


def _burst(name: str, descriptors: Descriptors, chance: random.Random) -> Iterator[Message]:
    session = _session(name, chance)
    # The page on and bus mastering, mostly, else little of what follows would reach anything.
    whole = [session[9], session[10]] if chance.random() < 0.7 else []
    for command, payload in [*whole, *chance.choices(session, k=BURST)]:
        reply = command in protocol.ASKED
        flags = chance.choice((0x1, 0x21)) if reply else 0
        number = chance.randrange(1, 4) if reply else chance.randrange(1 << 16)
        message = struct.pack("<HHIII", number, command, 16 + len(payload), flags, 0) + payload
        if (command, payload) not in whole:
            message = _mutated(message, chance)
        yield message, descriptors.some(chance, command)


def _speak(served: Served, name: str, descriptors: Descriptors, chance: random.Random) -> int:
    """One connection; how many of its mutated messages the server took: answered, or the end of it."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as stream:
        stream.settimeout(60)
        stream.connect(str(served.socket(name)))
        if chance.random() < 0.95:
            stream.sendall(VERSION)
        with contextlib.suppress(ConnectionError):
            for message, fds in _burst(name, descriptors, chance):
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
                stream.sendmsg([message], rights)
            descriptors.resize(chance)
            stream.shutdown(socket.SHUT_WR)
        answers = b""
        with contextlib.suppress(ConnectionError):
            # Nothing but the end of the connection ends this; a server that hangs is a timeout.
            while piece := stream.recv(1 << 17):
                answers += piece
    taken, place = 0, 0
    while place + 16 <= len(answers):
        size, flags = struct.unpack_from("<II", answers, place + 4)
        assert size >= 16
        taken += flags & 1
        place += size
    # The first answers are to the version and to what was not mutated.
    return max(taken - 3, 0) + 1


def _at_most(served: Served, descriptors: int) -> bool:
    return served.descriptors() <= descriptors


@pytest.fixture
def descriptors() -> Iterator[Descriptors]:
    found = Descriptors()
    yield found
    found.close()


def test_the_server_is_the_same_after_a_hundred_thousand_of_them(
    server: Served, descriptors: Descriptors, eventually: Eventually
) -> None:
    process = psutil.Process(server.pid)
    steady, resident = 0, 0
    for batch in range(BATCHES):
        chance = random.Random(batch)
        taken = 0
        while taken < MESSAGES // BATCHES:
            taken += _speak(server, chance.choice(sorted(PAGES)), descriptors, chance)
        assert server.still_serves("gpu"), f"after batch {batch}"
        assert server.still_serves("audio"), f"after batch {batch}"
        assert eventually(lambda: server.descriptors("socket:") <= 3)
        if not batch:
            steady, resident = server.descriptors(), process.memory_info().rss
        assert eventually(partial(_at_most, server, steady)), f"after batch {batch}"
        assert process.memory_info().rss < resident + GROWTH, f"after batch {batch}"
