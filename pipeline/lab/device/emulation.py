"""What an emulated function does with the requests of a client."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.lab.device import protocol, registers
from pipeline.lab.device.bars import Bars
from pipeline.lab.device.config_space import SIZE as CONFIG_SIZE
from pipeline.lab.device.config_space import ConfigSpace
from pipeline.lab.device.dma import Dma
from pipeline.lab.device.function import (
    BAR_STUCK,
    DMA_WRONG_ADDRESS,
    IGNORES_BLOCKED_DMA,
    LOST_AFTER_RESET,
    FunctionSpec,
)
from pipeline.lab.device.interrupts import INTX, MSI, Interrupts, Watch
from pipeline.lab.device.memory import GuestMemory
from pipeline.lab.device.page import TestPage
from pipeline.lab.device.protocol import Command, Header

_WRONG_BY = 64


def _nobody(_: int, __: Callable[[], None] | None) -> None:
    pass


class Function:
    """An emulated function and its state: configuration space, what is behind the BARs, interrupts, memory.

    `watch`: see Interrupts. `asked`: requests for the client that nobody has sent yet.
    """

    def __init__(self, spec: FunctionSpec, log: Callable[[str], None], watch: Watch = _nobody) -> None:
        self.spec = spec
        self.asked: list[bytes] = []
        self.memory = GuestMemory()
        self._log = log
        self._config = ConfigSpace(spec)
        self._bars = Bars({bar.index: bar.size for bar in spec.bars})
        self._memory_bars = {bar.index: bar.size for bar in spec.bars if bar.kind.memory}
        self._place = registers.place(self._memory_bars)
        self._interrupts = Interrupts(
            {INTX: int(bool(spec.interrupt_pin)), MSI: spec.msi_vectors},
            watch,
            lambda: self._config.intx_disabled,
        )
        self._dma = Dma(
            self.memory,
            self.asked.append,
            shift=_WRONG_BY if DMA_WRONG_ADDRESS in spec.broken else 0,
            lies=IGNORES_BLOCKED_DMA in spec.broken,
        )
        self._page = TestPage(spec, self._interrupts, self._dma, lambda: self._config.bus_master)
        self._used = False
        self._lost = False

    def disconnect(self) -> None:
        """Forget the client: its interrupts, its memory, and what it has written."""
        self._interrupts.drop()
        self.memory.clear()
        self._reset()
        self._bars.forget()
        self._dma.forget()
        self.asked.clear()

    def _reset(self) -> None:
        self._lost = self._lost or (self._used and LOST_AFTER_RESET in self.spec.broken)
        self._config.reset()
        self._bars.reset()
        self._page.reset()

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
                region, room = protocol.index(payload, protocol.REGIONS)
                size = self._size(region)
                return protocol.region_info(region, size, mappable=self._mappable(region), room=room)
            case Command.DEVICE_GET_IRQ_INFO:
                number, _ = protocol.index(payload, protocol.IRQS)
                return protocol.irq_info(number, self._interrupts.count(number))
            case Command.DEVICE_SET_IRQS:
                self._interrupts.set(protocol.set_irqs(payload, len(fds)), fds)
                return b""
            case Command.REGION_READ:
                where = protocol.access(payload, write=False)
                return payload + self.read(where.region, where.offset, where.count)
            case Command.REGION_WRITE:
                where = protocol.access(payload, write=True)
                self._write(where, protocol.access_data(payload))
                return protocol.access_payload(where.offset, where.region, where.count)
            case Command.DEVICE_RESET:
                self._log(f"{self.spec.name}: reset")
                self._reset()
                return b""
            case _:
                raise protocol.ProtocolError(f"{command.name} is not for a client to ask")

    def answered(self, header: Header, payload: bytes) -> None:
        """Take a reply; raises ProtocolError for one to nothing."""
        self._dma.answered(header, payload)

    def handed_out(self, payload: bytes) -> int | None:
        """The descriptor that goes with the answer to a DEVICE_GET_REGION_INFO; it stays the function's."""
        region, _ = protocol.index(payload, protocol.REGIONS)
        return self._bars.file(region) if self._mappable(region) else None

    def read(self, region: int, offset: int, count: int) -> bytes:
        """What a client reads; raises ValueError out of range."""
        if region == protocol.CONFIG_REGION:
            found = self._config.read(offset, count)
            return b"\xff" * count if self._lost else found
        within = self._in_page(region, offset, count)
        if within is not None and self._page.on:
            return self._page.read(within, count)
        return self._bars.read(region, offset, count)

    def _write(self, where: protocol.Access, data: bytes) -> None:
        if where.region == protocol.CONFIG_REGION:
            self._configure(where.offset, data)
            return
        within = self._in_page(where.region, where.offset, where.count)
        if within is not None and self._page.write(within, data):
            self._used = True
            self._config.show_interrupt(self._interrupts.asserted)
        elif BAR_STUCK not in self.spec.broken:
            self._bars.write(where.region, where.offset, data)
        else:
            self._bars.read(where.region, where.offset, where.count)

    def _configure(self, offset: int, data: bytes) -> None:
        if self._config.write(offset, data):
            self._log(f"{self.spec.name}: function level reset")
            self._reset()
        self._interrupts.update()

    def _size(self, region: int) -> int:
        return CONFIG_SIZE if region == protocol.CONFIG_REGION else self._bars.size(region)

    def _mappable(self, region: int) -> int:
        """How many bytes from the start of a region a client may map."""
        size = self._memory_bars.get(region, 0)
        if self.spec.broken & {BAR_STUCK, LOST_AFTER_RESET} or size < registers.PAGE_SIZE:
            return 0
        return self._place[1] if self._place and self._place[0] == region else size

    def _in_page(self, region: int, offset: int, count: int) -> int | None:
        """Where in the register page an access is that lies in it."""
        if self._place is None or region != self._place[0]:
            return None
        start = self._place[1]
        return offset - start if start <= offset <= start + registers.PAGE_SIZE - count else None
