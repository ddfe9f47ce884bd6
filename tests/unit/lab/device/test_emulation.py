"""A function's answers: regions, interrupts, guest memory, resets."""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterator

import pytest

from pipeline.lab.device import protocol
from pipeline.lab.device.emulation import Function
from pipeline.lab.device.function import Bar, BarKind, FunctionSpec
from pipeline.lab.device.memory import GuestMemory, NotMapped, Overlaps
from pipeline.lab.device.protocol import Command, DmaMap, DmaUnmap, ProtocolError

PAGE = 4096


@pytest.fixture
def function(gpu: FunctionSpec) -> Iterator[Function]:
    found = Function(gpu, lambda _: None)
    yield found
    found.disconnect()


def read(function: Function, region: int, offset: int, count: int) -> bytes:
    payload = protocol.access_payload(offset, region, count)
    answer = function.handle(Command.REGION_READ, payload, [])
    assert answer[:16] == payload
    return protocol.access_data(answer)


def write(function: Function, region: int, offset: int, data: bytes) -> None:
    payload = protocol.access_payload(offset, region, len(data), data)
    assert function.handle(Command.REGION_WRITE, payload, []) == payload[:16]


def set_irqs(function: Function, index: int, count: int, *fds: int, flags: int = 0x24) -> None:
    given = list(fds)
    function.handle(Command.DEVICE_SET_IRQS, struct.pack("<IIIII", 20, flags, index, 0, count), given)
    assert not given or flags != 0x24


def dma_map(function: Function, address: int, size: int, fd: int | None, offset: int = 0) -> None:
    payload = struct.pack("<IIQQQ", 32, 3, offset, address, size)
    function.handle(Command.DMA_MAP, payload, [] if fd is None else [fd])


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def memfd(data: bytes) -> int:
    fd = os.memfd_create("guest")
    os.pwrite(fd, data, 0)
    return fd


def test_the_device_is_pci_and_can_be_reset(function: Function) -> None:
    answer = function.handle(Command.DEVICE_GET_INFO, bytes(16), [])
    assert struct.unpack("<IIII", answer) == (16, 3, protocol.REGIONS, protocol.IRQS)


@pytest.mark.parametrize(
    ("region", "size"),
    [(0, 256 << 20), (1, 0), (2, 2 << 20), (3, 0), (4, 256), (5, 256 << 10), (6, 0), (7, PAGE), (8, 0)],
)
def test_each_region_has_the_size_of_its_bar(function: Function, region: int, size: int) -> None:
    answer = function.handle(
        Command.DEVICE_GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, region, 0, 0, 0), []
    )
    assert struct.unpack("<IIIIQQ", answer)[2::2] == (region, size)
    assert answer[4] & 3 == (3 if size else 0)


@pytest.mark.parametrize(("index", "count"), [(0, 1), (1, 1), (2, 0), (3, 0), (4, 0)])
def test_intx_and_msi_are_there(function: Function, index: int, count: int) -> None:
    answer = function.handle(Command.DEVICE_GET_IRQ_INFO, struct.pack("<IIII", 16, 0, index, 0), [])
    assert struct.unpack("<IIII", answer)[2:] == (index, count)


@pytest.mark.parametrize("region", [0, 2, 4, 5])
def test_what_is_written_behind_a_bar_is_read_back(function: Function, region: int) -> None:
    assert read(function, region, 0x10, 4) == bytes(4)
    write(function, region, 0x10, b"dry!")
    assert read(function, region, 0x10, 4) == b"dry!"


@pytest.mark.parametrize(
    ("region", "offset", "count"),
    [(4, 253, 4), (4, 256, 1), (1, 0, 1), (0, (1 << 64) - 1, 1), (7, PAGE, 1), (8, 0, 4)],
)
def test_an_access_out_of_range_is_an_error_and_changes_nothing(
    function: Function, region: int, offset: int, count: int
) -> None:
    with pytest.raises(ValueError):
        read(function, region, offset, count)
    with pytest.raises(ValueError):
        write(function, region, offset, b"x" * count)


def test_a_bar_larger_than_the_machine_can_be_used(gpu: FunctionSpec) -> None:
    bar = Bar(index=0, size=1 << 40, kind=BarKind.MEM64)
    function = Function(dataclasses.replace(gpu, bars=(bar,)), lambda _: None)
    write(function, 0, (1 << 40) - 4, b"last")
    assert read(function, 0, (1 << 40) - 4, 4) == b"last"
    function.disconnect()


@pytest.mark.parametrize("how", ["message", "function level"])
def test_a_reset_puts_bars_and_config_back(function: Function, how: str) -> None:
    fresh = read(function, 7, 0, PAGE)
    write(function, 7, 0x10, b"\x00\x00\x00\xe0")
    write(function, 7, 0x04, b"\x07\x05")
    write(function, 5, 0, b"dirt")
    if how == "message":
        function.handle(Command.DEVICE_RESET, b"", [])
    else:
        write(function, 7, 0x60, b"\x10\xa8")
    assert read(function, 7, 0, PAGE) == fresh
    assert read(function, 5, 0, 4) == bytes(4)


def test_the_next_client_finds_nothing_of_the_last(function: Function) -> None:
    write(function, 7, 0x3C, b"\x0b")
    write(function, 5, 0, b"dirt")
    dma_map(function, 0, PAGE, memfd(b"x"))
    function.disconnect()
    assert read(function, 7, 0x3C, 1) == b"\0"
    assert read(function, 5, 0, 4) == bytes(4)
    with pytest.raises(NotMapped):
        function.memory.read(0, 1)


def test_a_new_eventfd_replaces_the_old_one_and_closes_it(function: Function) -> None:
    first, second = os.eventfd(0), os.eventfd(0)
    set_irqs(function, 1, 1, first)
    assert is_open(first)
    set_irqs(function, 1, 1, second)
    assert not is_open(first)
    assert is_open(second)
    function.disconnect()
    assert not is_open(second)


def test_one_kind_of_interrupt_leaves_the_other_alone(function: Function) -> None:
    intx, msi = os.eventfd(0), os.eventfd(0)
    set_irqs(function, 0, 1, intx)
    set_irqs(function, 1, 1, msi)
    set_irqs(function, 1, 0, flags=0x21)
    assert is_open(intx)
    assert not is_open(msi)


def test_an_interrupt_is_raised_by_hand(function: Function) -> None:
    event = os.eventfd(0)
    seen = os.dup(event)
    set_irqs(function, 1, 1, event)
    set_irqs(function, 1, 1, flags=0x21)
    set_irqs(function, 1, 1, flags=0x21)
    assert os.eventfd_read(seen) == 2
    assert is_open(event)
    os.close(seen)


def test_an_interrupt_that_nobody_takes_holds_nothing_up(function: Function) -> None:
    event = os.eventfd(0)
    os.eventfd_write(event, (1 << 64) - 2)
    set_irqs(function, 1, 1, event)
    set_irqs(function, 1, 1, flags=0x21)
    assert is_open(event)


def test_masking_keeps_no_descriptor_and_drops_none(function: Function) -> None:
    kept, given = os.eventfd(0), os.eventfd(0)
    set_irqs(function, 0, 1, kept)
    set_irqs(function, 0, 1, given, flags=0x0C)
    assert is_open(kept)
    assert is_open(given), "left to the caller, who closes it"
    os.close(given)


def test_an_interrupt_that_is_not_there_is_refused(function: Function) -> None:
    with pytest.raises(ProtocolError):
        set_irqs(function, 1, 2, flags=0x21)


def test_guest_memory_is_read_and_written_by_dma(function: Function) -> None:
    fd = memfd(b"first page".ljust(PAGE, b"\0") + b"second page".ljust(PAGE, b"\0"))
    seen = os.dup(fd)
    dma_map(function, 0x10000, PAGE, fd, offset=PAGE)
    assert function.memory.read(0x10000, 11) == b"second page"
    function.memory.write(0x10000 + PAGE - 4, b"tail")
    assert os.pread(seen, 4, 2 * PAGE - 4) == b"tail"
    assert os.pread(seen, 10, 0) == b"first page"
    os.close(seen)


@pytest.mark.parametrize(("address", "size"), [(0xFFFF, 1), (0xFFFF, 2), (0x11000, 1), (0x10FFF, 2)])
def test_dma_outside_the_mappings_is_blocked(function: Function, address: int, size: int) -> None:
    dma_map(function, 0x10000, PAGE, memfd(bytes(PAGE)))
    with pytest.raises(NotMapped):
        function.memory.read(address, size)
    with pytest.raises(NotMapped):
        function.memory.write(address, bytes(size))


def test_memory_without_a_descriptor_is_blocked(function: Function) -> None:
    dma_map(function, 0x10000, PAGE, None)
    with pytest.raises(NotMapped):
        function.memory.read(0x10000, 1)


def test_memory_that_is_unmapped_is_blocked_and_its_descriptor_closed(function: Function) -> None:
    one, two = memfd(bytes(PAGE)), memfd(bytes(PAGE))
    dma_map(function, 0x10000, PAGE, one)
    dma_map(function, 0x20000, PAGE, two)
    payload = struct.pack("<IIQQ", 24, 0, 0x10000, PAGE)
    assert function.handle(Command.DMA_UNMAP, payload, []) == payload
    assert not is_open(one)
    with pytest.raises(NotMapped):
        function.memory.read(0x10000, 1)
    assert function.memory.read(0x20000, 1) == b"\0"
    function.handle(Command.DMA_UNMAP, struct.pack("<IIQQ", 24, 2, 0, 0), [])
    assert not is_open(two)


def test_a_mapping_over_another_is_refused_and_leaves_it() -> None:
    memory = GuestMemory()
    memory.map(DmaMap(3, 0, 0x10000, PAGE), memfd(b"old"))
    other = memfd(b"new")
    with pytest.raises(Overlaps):
        memory.map(DmaMap(3, 0, 0x10FFF, PAGE), other)
    os.close(other)
    assert memory.read(0x10000, 3) == b"old"
    memory.unmap(DmaUnmap(0, 0, all=True))


def test_mappings_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.lab.device.memory.LIMIT", 3)
    memory = GuestMemory()
    for page in range(3):
        memory.map(DmaMap(3, 0, page * PAGE, PAGE), None)
    with pytest.raises(ProtocolError):
        memory.map(DmaMap(3, 0, 3 * PAGE, PAGE), None)
