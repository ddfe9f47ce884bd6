"""The configuration space of an emulated function: 4096 bytes, each with a mask of its writable bits.

Source of offsets and bits: include/uapi/linux/pci_regs.h.
"""

from __future__ import annotations

import struct

from pipeline.lab.device.function import FunctionSpec

SIZE = 4096
_COMMAND, _STATUS = 0x04, 0x06
_COMMAND_MASK = 0x0547
_MASTER, _INTX_DISABLE, _INTERRUPT_STATUS = 0x0004, 0x0400, 0x08
_POWER, _EXPRESS, _MSI = 0x50, 0x58, 0xA0
_EXPRESS_SIZE = 0x3C
_ENDPOINT, _LEGACY_ENDPOINT = 0, 1
_FLR_CAPABLE = 1 << 28
_INITIATE_FLR = 1 << 15
_DEVICE_CONTROL = _EXPRESS + 8


class ConfigSpace:
    """Reads and writes as a guest does them; the registers behind BARs are elsewhere."""

    def __init__(self, spec: FunctionSpec) -> None:
        self._bytes = bytearray(SIZE)
        self._writable = bytearray(SIZE)
        self._flr = spec.flr
        self._header(spec)
        self._capabilities(spec)
        self._fresh = bytes(self._bytes)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; raises ValueError outside the space."""
        self._check(offset, size)
        return bytes(self._bytes[offset : offset + size])

    def write(self, offset: int, data: bytes) -> bool:
        """Change the writable bits; True if the write asks for a function level reset.

        Raises ValueError outside the space.
        """
        self._check(offset, len(data))
        reset = False
        for position, value in enumerate(data, start=offset):
            mask = self._writable[position]
            self._bytes[position] = self._bytes[position] & ~mask & 0xFF | value & mask
            if position == _DEVICE_CONTROL + 1 and value & _INITIATE_FLR >> 8:
                reset = self._flr
        return reset

    @property
    def bus_master(self) -> bool:
        """Whether the function may do DMA."""
        return bool(self._bytes[_COMMAND] & _MASTER)

    @property
    def intx_disabled(self) -> bool:
        """Whether the function may not assert INTx."""
        return bool(self._bytes[_COMMAND + 1] & _INTX_DISABLE >> 8)

    def show_interrupt(self, asserted: bool) -> None:
        """Say in the status register that INTx is pending: a kernel looks there for whose interrupt it is."""
        kept = self._bytes[_STATUS] & ~_INTERRUPT_STATUS
        self._bytes[_STATUS] = kept | (_INTERRUPT_STATUS if asserted else 0)

    def reset(self) -> None:
        """Everything as after power on."""
        self._bytes[:] = self._fresh

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 1 or offset + size > SIZE:
            raise ValueError(f"{size} bytes at {offset:#x} are outside the configuration space")

    def _put(self, offset: int, layout: str, *values: int) -> None:
        struct.pack_into("<" + layout, self._bytes, offset, *values)

    def _allow(self, offset: int, layout: str, *masks: int) -> None:
        struct.pack_into("<" + layout, self._writable, offset, *masks)

    def _header(self, spec: FunctionSpec) -> None:
        status_with_capabilities = 0x10
        self._put(0x00, "HHHH", spec.vendor_id, spec.device_id, 0, status_with_capabilities)
        self._put(0x08, "I", spec.class_code << 8 | spec.revision)
        self._put(0x0E, "B", 0x80 if spec.multifunction else 0)
        self._put(0x2C, "HH", spec.subsystem_vendor_id, spec.subsystem_id)
        self._put(0x34, "B", _POWER)
        self._put(0x3D, "B", spec.interrupt_pin)
        self._allow(0x04, "H", _COMMAND_MASK)
        self._allow(0x0C, "B", 0xFF)
        self._allow(0x3C, "B", 0xFF)
        for bar in spec.bars:
            offset = 0x10 + 4 * bar.index
            # What stays zero when all ones are written tells the size (PCI Local Bus 3.0, 6.2.5.1).
            mask = -bar.size & (1 << 64) - 1
            self._put(offset, "I", bar.kind.flags)
            self._allow(offset, "I", mask & (0xFFFFFFFC if bar.kind.flags & 1 else 0xFFFFFFF0))
            if bar.kind.wide:
                self._allow(offset + 4, "I", mask >> 32)

    def _capabilities(self, spec: FunctionSpec) -> None:
        self._put(_POWER, "BBHH", 0x01, _EXPRESS, 0x0003, 0)
        self._allow(_POWER + 4, "H", 0x0003)
        after_express = _MSI if spec.msi_vectors else 0
        device_capabilities = 0x8001 | (_FLR_CAPABLE if spec.flr else 0)
        kind = _ENDPOINT if spec.integrated else _LEGACY_ENDPOINT
        self._put(_EXPRESS, "BBH", 0x10, after_express, 2 | kind << 4)
        self._put(_EXPRESS + 4, "IHH", device_capabilities, 0x2810, 0)
        # 8 GT/s, 16 lanes, capable and in use.
        self._put(_EXPRESS + 0xC, "IHH", 0x00400D03 | 16 << 4, 0, 3 | 16 << 4)
        # The bit that starts a reset reads as zero, so it is not writable.
        self._allow(_DEVICE_CONTROL, "H", 0x7FFF)
        # Retraining and disabling a link are reserved for endpoints.
        self._allow(_EXPRESS + 0x10, "H", 0x01CB)
        if spec.msi_vectors:
            vectors = spec.msi_vectors.bit_length() - 1
            self._put(_MSI, "BBH", 0x05, 0, 0x0080 | vectors << 1)
            self._allow(_MSI + 2, "HIIH", 0x0071, 0xFFFFFFFC, 0xFFFFFFFF, 0xFFFF)
