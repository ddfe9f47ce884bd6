"""A QEMU without a processor that turns: its guest is the test (QEMU docs/devel/testing/qtest.rst)."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.lab.device import registers
from pipeline.lab.process import child
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.toolchain import Qemu

SLOT = 3
MEMORY = 64 << 20
BAR = 0xE0000000
_ADDRESS, _DATA = 0xCF8, 0xCFC


@dataclass(slots=True)
class Guest:
    """What a processor would do: ports, memory, configuration space, and the interrupts of the I/O APIC."""

    stream: socket.socket
    interrupts: list[str] = field(default_factory=list)
    _left: bytes = b""

    def command(self, text: str) -> str:
        """A command's answer; interrupts that come before it are kept."""
        self.stream.sendall(text.encode() + b"\n")
        while True:
            line = self._line()
            if line.startswith("IRQ "):
                self.interrupts.append(line)
                continue
            assert line.startswith("OK"), line
            return line[3:]

    def _line(self) -> str:
        while b"\n" not in self._left:
            piece = self.stream.recv(65536)
            if not piece:
                raise EOFError
            self._left += piece
        line, _, self._left = self._left.partition(b"\n")
        return line.decode()

    def read(self, address: int) -> int:
        """32 bits of memory or of what is mapped there."""
        return int(self.command(f"readl {address:#x}"), 16)

    def write(self, address: int, value: int) -> None:
        """32 bits."""
        self.command(f"writel {address:#x} {value:#x}")

    def read_long(self, address: int) -> int:
        """64 bits."""
        return int(self.command(f"readq {address:#x}"), 16)

    def write_long(self, address: int, value: int) -> None:
        """64 bits."""
        self.command(f"writeq {address:#x} {value:#x}")

    def get(self, address: int, count: int) -> bytes:
        """Bytes of memory."""
        return bytes.fromhex(self.command(f"read {address:#x} {count:#x}").removeprefix("0x"))

    def put(self, address: int, data: bytes) -> None:
        """Bytes to memory."""
        self.command(f"write {address:#x} {len(data):#x} 0x{data.hex()}")

    def config(self, offset: int, *, slot: int = SLOT) -> int:
        """32 bits of the configuration space of a function on bus 0."""
        self.command(f"outl {_ADDRESS:#x} {0x80000000 | slot << 11 | offset:#x}")
        return int(self.command(f"inl {_DATA:#x}"), 16)

    def configure(self, offset: int, value: int, *, slot: int = SLOT) -> None:
        """Write 32 bits of it."""
        self.command(f"outl {_ADDRESS:#x} {0x80000000 | slot << 11 | offset:#x}")
        self.command(f"outl {_DATA:#x} {value:#x}")


@dataclass(slots=True)
class Page:
    """The register page of a function, at an address of the guest."""

    guest: Guest
    start: int

    def turn_on(self) -> None:
        """Write the magic."""
        self.write(registers.MAGIC, registers.TURN_ON)

    def read(self, register: int) -> int:
        """A register."""
        return self.guest.read(self.start + register)

    def write(self, register: int, value: int) -> None:
        """A register."""
        self.guest.write(self.start + register, value)

    def dma(self, command: int, address: int, length: int) -> int:
        """Run a transfer to its end and give its status."""
        self.write(registers.DMA_ADDRESS, address & 0xFFFFFFFF)
        self.write(registers.DMA_ADDRESS + 4, address >> 32)
        self.write(registers.DMA_LENGTH, length)
        self.write(registers.DMA_COMMAND, command)
        for _ in range(1000):
            status = self.read(registers.DMA_STATUS)
            if status != registers.DMA_NOTHING:
                return status
        raise AssertionError("the client did not answer the function's request")


@contextlib.contextmanager
def machine(qemu: Qemu, name: str, *, run: RunDirectory, more: Sequence[str] = ()) -> Iterator[Guest]:
    """A Q35 with the function `name` of a server in the run directory, with 64 MiB of memory."""
    ours, theirs = socket.socketpair()
    device = {
        "driver": "vfio-user-pci",
        "addr": f"{SLOT}.0",
        "socket": {"type": "unix", "path": f"{name}.sock"},
    }
    argv = [
        *qemu.argv,
        *("-machine", "q35,memory-backend=memory,sata=off,smbus=off,i8042=off", "-accel", "qtest"),
        *("-m", "64M", "-object", "memory-backend-memfd,id=memory,size=64M,share=on"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"),
        *("-chardev", f"socket,id=qtest,fd={theirs.fileno()}", "-qtest", "chardev:qtest"),
        *("-qtest-log", "/dev/null", *more, "-device", json.dumps(device)),
    ]
    with (
        ours,
        child(argv, run=run, name="qtest", environment=qemu.merged_environment(), pass_fds=[theirs.fileno()]),
    ):
        theirs.close()
        ours.settimeout(60)
        yield Guest(ours)
