"""DMA of an emulated function: straight to memory that it has a mapping of, else by asking the client.

What no mapping covers is for the client to do: QEMU takes it through the guest's IOMMU, which refuses it and
logs the fault where the guest sees it: VT-d with function and address; AMD-Vi without the bus (01:00.0 is said
to be 00:00.0) and with address zero, four times for each transfer (ran, QEMU 11.1, Linux 6.12). Address and
count have 64 bits each (docs/interop/vfio-user.rst, VFIO_USER_DMA_READ; ran with QEMU 11.1, older sources of
which count in 32 bits).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.lab.device import protocol, registers
from pipeline.lab.device.memory import GuestMemory, NotMapped
from pipeline.lab.device.protocol import Command, Header, ProtocolError

_ACCESS = struct.Struct("<QQ")
# Requests that a reset made pointless, and whose answers are still to come.
_MOST_WAITING = 16


@dataclass(frozen=True, slots=True)
class _Transfer:
    to_guest: bool
    length: int


class Dma:
    """One transfer at a time between `buffer` and the guest's memory.

    `ask` sends a request to the client. `shift`: bytes beside the address; `lies`: says done what was refused.
    """

    def __init__(
        self, memory: GuestMemory, ask: Callable[[bytes], None], *, shift: int = 0, lies: bool = False
    ) -> None:
        self.buffer = bytearray(registers.DMA_BUFFER_SIZE)
        self.status = registers.DMA_NOTHING
        self.refused = 0
        self._memory = memory
        self._ask = ask
        self._shift = shift
        self._lies = lies
        self._number = 0
        self._current: int | None = None
        self._waiting: dict[int, _Transfer] = {}

    def start(self, command: int, address: int, length: int, *, mastering: bool) -> None:
        """Run a command of the register page; `mastering`: the function may do DMA at all."""
        if self._current is not None:
            self.refused += 1
            return
        self.status = registers.DMA_NOTHING
        to_guest = command == registers.DMA_TO_GUEST
        transfer = _Transfer(to_guest, length)
        address = address + self._shift & (1 << 64) - 1
        known = to_guest or command == registers.DMA_FROM_GUEST
        fits = 0 < length <= len(self.buffer) and address + length <= 1 << 64
        if not (known and fits and mastering):
            self._finish(transfer, None)
            return
        try:
            if to_guest:
                self._memory.write(address, bytes(self.buffer[:length]))
                self._finish(transfer, b"")
            else:
                self._finish(transfer, self._memory.read(address, length))
        except NotMapped:
            self._ask_client(address, transfer)
        except OSError:
            self._finish(transfer, None)

    def answered(self, header: Header, payload: bytes) -> None:
        """Take the client's reply; raises ProtocolError for one that nobody waits for, or that is too short."""
        transfer = self._waiting.pop(header.message, None)
        if transfer is None or transfer.to_guest is not (header.command is Command.DMA_WRITE):
            raise ProtocolError(f"a reply to {header.message}, which was not asked")
        data = payload[_ACCESS.size : _ACCESS.size + transfer.length]
        if not header.failed and not transfer.to_guest and len(data) < transfer.length:
            raise ProtocolError(f"{len(data)} bytes where {transfer.length} were asked for")
        if header.message == self._current:
            self._current = None
            self._finish(transfer, None if header.failed else data)

    def reset(self) -> None:
        """As after power on; what was asked is answered still, and then goes nowhere."""
        self.buffer[:] = bytes(len(self.buffer))
        self.status = registers.DMA_NOTHING
        self.refused = 0
        self._current = None

    def forget(self) -> None:
        """The client is gone, and with it the answers."""
        self.reset()
        self._waiting.clear()

    def _ask_client(self, address: int, transfer: _Transfer) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self._finish(transfer, None)
            return
        self._number = self._number + 1 & 0xFFFF
        self._waiting[self._number] = transfer
        self._current = self._number
        access = _ACCESS.pack(address, transfer.length)
        if transfer.to_guest:
            access += self.buffer[: transfer.length]
        command = Command.DMA_WRITE if transfer.to_guest else Command.DMA_READ
        self._ask(protocol.request(self._number, command, access))

    def _finish(self, transfer: _Transfer, data: bytes | None) -> None:
        if data is None:
            self.refused += 1
            self.status = registers.DMA_DONE if self._lies else registers.DMA_WAS_REFUSED
            return
        if not transfer.to_guest:
            self.buffer[: transfer.length] = data
        self.status = registers.DMA_DONE
