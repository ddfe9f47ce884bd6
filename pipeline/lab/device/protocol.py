"""Messages of the vfio-user protocol: bytes to values and back; pure.

Source: QEMU docs/interop/vfio-user.rst and hw/vfio-user/protocol.h. QEMU offers version 0.0 and takes only 0.0
back (ran, 11.1).
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import IntEnum

HEADER_SIZE = 16
MESSAGE_LIMIT = 1 << 17
TRANSFER_LIMIT = 1 << 16
FD_LIMIT = 8
CONFIG_REGION = 7
REGIONS, IRQS = 9, 5

_HEADER = struct.Struct("<HHIII")
REPLY, _NO_REPLY, _ERROR = 0x1, 0x10, 0x20
_DMA_MAP = struct.Struct("<IIQQQ")
_DMA_UNMAP = struct.Struct("<IIQQ")
_INFO = struct.Struct("<IIII")
_REGION_INFO = struct.Struct("<IIIIQQ")
_SPARSE = struct.Struct("<HHIIIQQ")
_SET_IRQS = struct.Struct("<IIIII")
_ACCESS = struct.Struct("<QII")


class ProtocolError(Exception):
    """A message that the protocol does not allow; the connection cannot go on."""


class Command(IntEnum):
    """The commands that a client may send here, and those that it is sent."""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    DEVICE_GET_INFO = 4
    DEVICE_GET_REGION_INFO = 5
    DEVICE_GET_IRQ_INFO = 7
    DEVICE_SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11
    DMA_WRITE = 12
    DEVICE_RESET = 13


# What the client is asked; it replies.
ASKED = frozenset({Command.DMA_READ, Command.DMA_WRITE})
# How many file descriptors may come with a command; none with the others.
FDS = {Command.DMA_MAP: 1, Command.DEVICE_SET_IRQS: FD_LIMIT}


@dataclass(frozen=True, slots=True)
class Header:
    """The first 16 bytes of a message; `size` counts them too. `failed`: a reply that says so."""

    message: int
    command: Command
    size: int
    no_reply: bool
    is_reply: bool = False
    failed: bool = False


def header(data: bytes) -> Header:
    """Read the header of a request, or of a reply to a request for DMA."""
    message, command, size, flags, _ = _HEADER.unpack(data)
    if not HEADER_SIZE <= size <= MESSAGE_LIMIT:
        raise ProtocolError(f"a message of {size} bytes")
    if command in ASKED:
        if flags & ~_ERROR != REPLY:
            raise ProtocolError(f"a request that only a server makes, flags {flags:#x}")
        return Header(message, Command(command), size, False, is_reply=True, failed=bool(flags & _ERROR))
    if flags & ~_NO_REPLY:
        raise ProtocolError(f"a request with flags {flags:#x}")
    try:
        return Header(message, Command(command), size, bool(flags & _NO_REPLY))
    except ValueError:
        raise ProtocolError(f"unknown command {command}") from None


def request(message: int, command: int, payload: bytes = b"", *, no_reply: bool = False) -> bytes:
    """A request as a client sends it."""
    return (
        _HEADER.pack(message, command, HEADER_SIZE + len(payload), _NO_REPLY if no_reply else 0, 0) + payload
    )


def reply(to: Header, payload: bytes = b"") -> bytes:
    """A reply."""
    return _HEADER.pack(to.message, to.command, HEADER_SIZE + len(payload), REPLY, 0) + payload


def error_reply(to: Header, errno: int) -> bytes:
    """A reply that says the request failed."""
    return _HEADER.pack(to.message, to.command, HEADER_SIZE, REPLY | _ERROR, errno)


def version(payload: bytes) -> bytes:
    """Check the client's version, and give the reply's payload."""
    if len(payload) < 4:
        raise ProtocolError("a version message without a version")
    major, minor = struct.unpack_from("<HH", payload)
    if (major, minor) != (0, 0):
        raise ProtocolError(f"version {major}.{minor}, only 0.0 is spoken here")
    if len(payload) > 4:
        if payload[-1:] != b"\0":
            raise ProtocolError("capabilities without an end")
        try:
            capabilities = json.loads(payload[4:-1].decode("utf-8"))
        except (ValueError, RecursionError):
            raise ProtocolError("capabilities that are not JSON") from None
        if not isinstance(capabilities, dict):
            raise ProtocolError("capabilities that are not an object")
    ours = {"capabilities": {"max_msg_fds": FD_LIMIT, "max_data_xfer_size": TRANSFER_LIMIT}}
    return payload[:4] + json.dumps(ours).encode() + b"\0"


@dataclass(frozen=True, slots=True)
class DmaMap:
    """Guest memory at `address`; its fd starts at `offset`. Sizes in bytes."""

    flags: int
    offset: int
    address: int
    size: int


def dma_map(payload: bytes) -> DmaMap:
    """Read a DMA_MAP."""
    argsz, flags, offset, address, size = _unpack(_DMA_MAP, payload, exact=True)
    if (
        argsz < _DMA_MAP.size
        or flags & ~0x3
        or not size
        or address + size > 1 << 64
        or offset + size > 1 << 63
    ):
        raise ProtocolError("a DMA mapping out of range")
    return DmaMap(flags, offset, address, size)


@dataclass(frozen=True, slots=True)
class DmaUnmap:
    """Memory that goes; everything where `all` is set."""

    address: int
    size: int
    all: bool


def dma_unmap(payload: bytes) -> DmaUnmap:
    """Read a DMA_UNMAP."""
    argsz, flags, address, size = _unpack(_DMA_UNMAP, payload, exact=False)
    if argsz < _DMA_UNMAP.size or flags & ~0x3 or address + size > 1 << 64:
        raise ProtocolError("a DMA unmapping out of range")
    return DmaUnmap(address, size, bool(flags & 0x2))


def device_info() -> bytes:
    """A PCI device that can be reset."""
    return _INFO.pack(_INFO.size, 0x3, REGIONS, IRQS)


def index(payload: bytes, count: int) -> tuple[int, int]:
    """The index in a request for a region's or interrupt's information, and the room for the answer in bytes."""
    if len(payload) < _INFO.size:
        raise ProtocolError(f"{len(payload)} bytes where an index belongs")
    argsz, _, number, _ = _INFO.unpack_from(payload)
    if argsz < _INFO.size or not 0 <= number < count:
        raise ProtocolError(f"index {number} of {count}")
    return number, argsz


def region_info(number: int, size: int, *, mappable: int = 0, room: int = _REGION_INFO.size) -> bytes:
    """A region that can be read and written, or is not there when `size` is 0.

    Its first `mappable` bytes can be mapped from the descriptor that comes with the answer. Where that is not
    all of it, a list of areas says so, if the client has `room` for it; it asks again with more
    (linux/vfio.h VFIO_REGION_INFO_CAP_SPARSE_MMAP; QEMU hw/vfio/device.c vfio_device_get_region_info()). The
    kernel says in the first answer that the list is nowhere yet; QEMU's hw/vfio-user/device.c refuses that.
    """
    flags = (0x3 if size else 0) | (0x4 if mappable else 0)
    if mappable in {0, size}:
        return _REGION_INFO.pack(_REGION_INFO.size, flags, number, 0, size, 0)
    wanted = _REGION_INFO.size + _SPARSE.size
    base = _REGION_INFO.pack(wanted, flags | 0x8, number, _REGION_INFO.size, size, 0)
    return base + _SPARSE.pack(1, 1, 0, 1, 0, 0, mappable) if room >= wanted else base


def irq_info(number: int, count: int) -> bytes:
    """An interrupt: INTx masks itself, MSI cannot be resized (VFIO_IRQ_INFO_*)."""
    flags = {0: 0x7, 1: 0x9}.get(number, 0) if count else 0
    return _INFO.pack(_INFO.size, flags, number, count)


@dataclass(frozen=True, slots=True)
class SetIrqs:
    """What to do with `count` interrupts of index `index` from `start` on; `flags` as in linux/vfio.h."""

    flags: int
    index: int
    start: int
    count: int
    values: bytes = b""

    @property
    def events(self) -> bool:
        """Whether it is about the descriptors that come with it."""
        return bool(self.flags & 0x4)

    @property
    def triggers(self) -> bool:
        """Whether it says where interrupts go, or raises them."""
        return bool(self.flags & 0x20)

    @property
    def masks(self) -> bool:
        """Whether it masks; it unmasks where it does neither."""
        return bool(self.flags & 0x8)

    @property
    def chosen(self) -> list[int]:
        """The interrupts it is about, without descriptors: all of the range, or those with a value."""
        every = range(self.start, self.start + self.count)
        return (
            [n for n, value in zip(every, self.values, strict=True) if value] if self.flags & 2 else [*every]
        )


def set_irqs(payload: bytes, fds: int) -> SetIrqs:
    """Read a SET_IRQS that came with `fds` file descriptors."""
    argsz, flags, number, start, count = _unpack(_SET_IRQS, payload, exact=False)
    kinds, actions = flags & 0x7, flags & 0x38
    if argsz < _SET_IRQS.size or flags & ~0x3F or kinds not in {1, 2, 4} or actions not in {8, 16, 32}:
        raise ProtocolError(f"interrupt flags {flags:#x}")
    if number >= IRQS or count > 32 or start + count > 32:
        raise ProtocolError(f"interrupts {start}+{count} of index {number}")
    if fds and (not flags & 0x4 or fds > count):
        raise ProtocolError(f"{fds} file descriptors for {count} interrupts")
    if kinds == 2 and len(payload) - _SET_IRQS.size < count:
        raise ProtocolError("interrupt data is missing")
    values = payload[_SET_IRQS.size : _SET_IRQS.size + count] if kinds == 2 else b""
    return SetIrqs(flags, number, start, count, values)


@dataclass(frozen=True, slots=True)
class Access:
    """A read or write of `count` bytes at `offset` of a region."""

    offset: int
    region: int
    count: int


def access(payload: bytes, *, write: bool) -> Access:
    """Read a REGION_READ or REGION_WRITE; the data of a write is behind the first 16 bytes."""
    if len(payload) < _ACCESS.size:
        raise ProtocolError(f"{len(payload)} bytes where an access belongs")
    offset, region, count = _ACCESS.unpack_from(payload)
    data = len(payload) - _ACCESS.size
    if region >= REGIONS or not 0 < count <= TRANSFER_LIMIT or data != (count if write else 0):
        raise ProtocolError(f"an access of {count} bytes to region {region} with {data} bytes of data")
    return Access(offset, region, count)


def access_payload(offset: int, region: int, count: int, data: bytes = b"") -> bytes:
    """The payload of an access or of its reply."""
    return _ACCESS.pack(offset, region, count) + data


def access_data(payload: bytes) -> bytes:
    """The data behind an access."""
    return payload[_ACCESS.size :]


def _unpack(layout: struct.Struct, payload: bytes, *, exact: bool) -> tuple[int, ...]:
    if len(payload) < layout.size or (exact and len(payload) != layout.size):
        raise ProtocolError(f"{len(payload)} bytes where {layout.size} belong")
    return layout.unpack_from(payload)
