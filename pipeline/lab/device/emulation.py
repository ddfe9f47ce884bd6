"""What an emulated function does with the requests of a client."""

from __future__ import annotations

import mmap
import os
import select
import sys
from collections.abc import Callable

from pipeline.lab.device import protocol
from pipeline.lab.device.config_space import SIZE as CONFIG_SIZE
from pipeline.lab.device.config_space import ConfigSpace
from pipeline.lab.device.function import FunctionSpec
from pipeline.lab.device.memory import GuestMemory
from pipeline.lab.device.protocol import Command, ProtocolError

# mmap(2); the standard library names it only in newer versions.
_MAP_NORESERVE = 0x4000


class Function:
    """An emulated function and its state: configuration space, what is behind the BARs, interrupts, memory."""

    def __init__(self, spec: FunctionSpec, log: Callable[[str], None]) -> None:
        self.spec = spec
        self._log = log
        self._config = ConfigSpace(spec)
        self._sizes = {bar.index: bar.size for bar in spec.bars}
        self._bars: dict[int, mmap.mmap] = {}
        self._interrupts: dict[tuple[int, int], int] = {}
        self.memory = GuestMemory()

    def disconnect(self) -> None:
        """Forget the client: its interrupts, its memory, and what it has written."""
        self._drop_interrupts(lambda _: True)
        self.memory.clear()
        self._reset()

    def _reset(self) -> None:
        self._config.reset()
        for region in self._bars.values():
            region.close()
        self._bars.clear()

    def handle(self, command: Command, payload: bytes, fds: list[int]) -> bytes:
        """Do what a request asks for and give the reply's payload; it takes from `fds` what it keeps.

        Raises ProtocolError for what the protocol does not allow, ValueError for an access out of range.
        """
        match command:
            case Command.VERSION:
                return protocol.version(payload)
            case Command.DMA_MAP:
                self.memory.map(protocol.dma_map(payload), fds[0] if fds else None)
                fds.clear()
                return b""
            case Command.DMA_UNMAP:
                self.memory.unmap(protocol.dma_unmap(payload))
                return payload
            case Command.DEVICE_GET_INFO:
                return protocol.device_info()
            case Command.DEVICE_GET_REGION_INFO:
                region = protocol.index(payload, protocol.REGIONS)
                return protocol.region_info(region, self._size(region))
            case Command.DEVICE_GET_IRQ_INFO:
                number = protocol.index(payload, protocol.IRQS)
                return protocol.irq_info(number, self._interrupt_count(number))
            case Command.DEVICE_SET_IRQS:
                self._set_interrupts(protocol.set_irqs(payload, len(fds)), fds)
                return b""
            case Command.REGION_READ:
                where = protocol.access(payload, write=False)
                return payload + self._read(where)
            case Command.REGION_WRITE:
                where = protocol.access(payload, write=True)
                self._write(where, protocol.access_data(payload))
                return protocol.access_payload(where.offset, where.region, where.count)
            case Command.DEVICE_RESET:
                self._log(f"{self.spec.name}: reset")
                self._reset()
                return b""

    def _size(self, region: int) -> int:
        return CONFIG_SIZE if region == protocol.CONFIG_REGION else self._sizes.get(region, 0)

    def _interrupt_count(self, number: int) -> int:
        return {0: int(bool(self.spec.interrupt_pin)), 1: self.spec.msi_vectors}.get(number, 0)

    def _behind(self, where: protocol.Access) -> mmap.mmap:
        size = self._sizes.get(where.region, 0)
        if where.offset + where.count > size:
            raise ValueError(
                f"{where.count} bytes at {where.offset:#x} of region {where.region} ({size} bytes)"
            )
        if where.region not in self._bars:
            # Only what is used takes memory: a BAR may be larger than the machine's.
            flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
            self._bars[where.region] = mmap.mmap(-1, size, flags=flags)
        return self._bars[where.region]

    def _read(self, where: protocol.Access) -> bytes:
        if where.region == protocol.CONFIG_REGION:
            return self._config.read(where.offset, where.count)
        return self._behind(where)[where.offset : where.offset + where.count]

    def _write(self, where: protocol.Access, data: bytes) -> None:
        if where.region != protocol.CONFIG_REGION:
            self._behind(where)[where.offset : where.offset + where.count] = data
        elif self._config.write(where.offset, data):
            self._log(f"{self.spec.name}: function level reset")
            self._reset()

    def _set_interrupts(self, what: protocol.SetIrqs, fds: list[int]) -> None:
        if what.start + what.count > max(self._interrupt_count(what.index), 1):
            raise ProtocolError(f"interrupt {what.start}+{what.count} of index {what.index} is not there")
        if not what.triggers:
            return
        if what.signals:
            self._signal(what)
            return
        if what.count == 0:
            self._drop_interrupts(lambda key: key[0] == what.index)
            return
        wanted = {(what.index, what.start + number) for number in range(what.count)}
        self._drop_interrupts(lambda key: key in wanted)
        for number, fd in enumerate(fds):
            self._interrupts[what.index, what.start + number] = fd
        fds.clear()

    def _signal(self, what: protocol.SetIrqs) -> None:
        """Raise interrupts by hand, as VFIO_IRQ_SET_ACTION_TRIGGER without an eventfd asks (linux/vfio.h)."""
        for number in range(what.start, what.start + what.count):
            fd = self._interrupts.get((what.index, number))
            if fd is not None and _has_room(fd):
                os.write(fd, (1).to_bytes(8, sys.byteorder))

    def _drop_interrupts(self, which: Callable[[tuple[int, int]], bool]) -> None:
        for key in [key for key in self._interrupts if which(key)]:
            os.close(self._interrupts.pop(key))


def _has_room(fd: int) -> bool:
    # A write to a full eventfd would hold up every function.
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
