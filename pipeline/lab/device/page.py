"""The test registers of an emulated function, as `registers` describes them."""

from __future__ import annotations

import struct
from collections.abc import Callable

from pipeline.lab.device import registers
from pipeline.lab.device.dma import Dma
from pipeline.lab.device.function import BAR_STUCK, NO_INTX, NO_MSI, FunctionSpec
from pipeline.lab.device.interrupts import Interrupts

_REGISTERS = struct.Struct("<IIIIIIQIIIII")


class TestPage:
    """State and effect of the registers. `mastering`: whether bus mastering is on in the command register."""

    __test__ = False

    def __init__(
        self, spec: FunctionSpec, interrupts: Interrupts, dma: Dma, mastering: Callable[[], bool]
    ) -> None:
        self.on = False
        self._msi_vectors = spec.msi_vectors
        self._broken = spec.broken
        self._interrupts = interrupts
        self._dma = dma
        self._mastering = mastering
        self._clear()

    def _clear(self) -> None:
        self._intx_raised = 0
        self._msi_raised = 0
        self._address = 0
        self._length = 0
        self._scratch = 0

    def reset(self) -> None:
        """Off, and everything zero."""
        self.on = False
        self._clear()
        self._dma.reset()
        self._interrupts.deassert_intx()

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes of the page, which is on."""
        values = _REGISTERS.pack(
            registers.IS_ON,
            registers.THIS_VERSION,
            0,
            0,
            self._intx_raised,
            self._msi_raised,
            self._address,
            self._length,
            0,
            self._dma.status,
            self._dma.refused & 0xFFFFFFFF,
            self._scratch,
        )
        return (values.ljust(registers.DMA_BUFFER, b"\0") + self._dma.buffer)[offset : offset + count]

    def write(self, offset: int, data: bytes) -> bool:
        """Take a write; False where the page is off and stays so: then it is one to memory."""
        if not self.on:
            self.on = (offset, data) == (registers.MAGIC, registers.TURN_ON.to_bytes(4, "little"))
            return self.on
        if offset >= registers.DMA_BUFFER:
            start = offset - registers.DMA_BUFFER
            self._dma.buffer[start : start + len(data)] = data
        elif offset % 4 == 0 and len(data) % 4 == 0:
            for place in range(0, min(len(data), registers.DMA_BUFFER - offset), 4):
                self._register(offset + place, int.from_bytes(data[place : place + 4], "little"))
        return True

    def _register(self, register: int, value: int) -> None:
        match register:
            case registers.MAGIC:
                self.on = value == registers.TURN_ON
            case registers.RAISE:
                self._raise(value)
            case registers.ACK:
                self._interrupts.deassert_intx()
            case registers.DMA_ADDRESS:
                self._address = self._address >> 32 << 32 | value
            case 0x1C:
                self._address = self._address & 0xFFFFFFFF | value << 32
            case registers.DMA_LENGTH:
                self._length = value
            case registers.DMA_COMMAND:
                self._dma.start(value, self._address, self._length, mastering=self._mastering())
            case registers.SCRATCH if BAR_STUCK not in self._broken:
                self._scratch = value

    def _raise(self, value: int) -> None:
        vector = value - registers.RAISE_MSI
        if value == registers.RAISE_INTX:
            self._intx_raised = self._intx_raised + 1 & 0xFFFFFFFF
            if NO_INTX not in self._broken:
                self._interrupts.assert_intx()
        elif 0 <= vector < self._msi_vectors:
            self._msi_raised = self._msi_raised + 1 & 0xFFFFFFFF
            if NO_MSI not in self._broken:
                self._interrupts.send_msi(vector)
