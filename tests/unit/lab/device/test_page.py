"""A function's test registers, as a program in a guest uses them."""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterator

import pytest

from pipeline.lab.device import protocol, registers
from pipeline.lab.device.emulation import Function
from pipeline.lab.device.function import FunctionSpec
from pipeline.lab.device.protocol import Command, Header, ProtocolError

PAGE = registers.PAGE_SIZE
REGION, START = 5, (256 << 10) - PAGE


class Guest:
    """A function whose page is on and which may do DMA, with interrupts that can be seen."""

    def __init__(self, spec: FunctionSpec) -> None:
        self.function = Function(spec, lambda _: None)
        self.intx, self.msi = os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)
        self.set_irqs(0, 0x24, os.dup(self.intx))
        self.set_irqs(1, 0x24, os.dup(self.msi))
        self.configure(4, 0x0006, 2)
        self.turn_on()

    def turn_on(self) -> None:
        self.write(registers.MAGIC, registers.TURN_ON)

    def set_irqs(self, index: int, flags: int, *fds: int) -> None:
        payload = struct.pack("<IIIII", 20, flags, index, 0, 1)
        self.function.handle(Command.DEVICE_SET_IRQS, payload, [*fds])

    def configure(self, offset: int, value: int, size: int) -> None:
        data = value.to_bytes(size, "little")
        self.function.handle(Command.REGION_WRITE, protocol.access_payload(offset, 7, size, data), [])

    def config(self, offset: int, size: int) -> int:
        return int.from_bytes(self.function.read(7, offset, size), "little")

    def put(self, offset: int, data: bytes) -> None:
        payload = protocol.access_payload(START + offset, REGION, len(data), data)
        self.function.handle(Command.REGION_WRITE, payload, [])

    def get(self, offset: int, count: int) -> bytes:
        return self.function.read(REGION, START + offset, count)

    def write(self, register: int, value: int, size: int = 4) -> None:
        self.put(register, value.to_bytes(size, "little"))

    def read(self, register: int, size: int = 4) -> int:
        return int.from_bytes(self.get(register, size), "little")

    def map(self, address: int, contents: bytes, *, flags: int = 3) -> int:
        fd = os.memfd_create("guest")
        os.pwrite(fd, contents, 0)
        seen = os.dup(fd)
        payload = struct.pack("<IIQQQ", 32, flags, 0, address, len(contents))
        self.function.handle(Command.DMA_MAP, payload, [fd])
        return seen

    def dma(self, command: int, address: int, length: int) -> int:
        self.write(registers.DMA_ADDRESS, address, 8)
        self.write(registers.DMA_LENGTH, length)
        self.write(registers.DMA_COMMAND, command)
        return self.read(registers.DMA_STATUS)

    def raised(self, event: int) -> int:
        try:
            return os.eventfd_read(event)
        except BlockingIOError:
            return 0


def guest_of(spec: FunctionSpec) -> Iterator[Guest]:
    guest = Guest(spec)
    yield guest
    guest.function.disconnect()
    os.close(guest.intx)
    os.close(guest.msi)


@pytest.fixture
def guest(gpu: FunctionSpec) -> Iterator[Guest]:
    yield from guest_of(gpu)


@pytest.fixture
def broken(gpu: FunctionSpec, request: pytest.FixtureRequest) -> Iterator[Guest]:
    yield from guest_of(dataclasses.replace(gpu, broken=frozenset({request.param})))


def test_until_it_is_turned_on_the_page_is_memory(gpu: FunctionSpec) -> None:
    function = Function(gpu, lambda _: None)
    for offset, data in ((0, b"\0\0\0\1"), (8, b"\1\0\0\0"), (0x28, b"abcd"), (0x800, b"more")):
        payload = protocol.access_payload(START + offset, REGION, 4, data)
        function.handle(Command.REGION_WRITE, payload, [])
        assert function.read(REGION, START + offset, 4) == data


def test_magic_turns_it_on_and_anything_else_off(guest: Guest) -> None:
    assert guest.read(registers.MAGIC) == registers.IS_ON
    assert guest.read(registers.VERSION) == 1
    guest.write(registers.MAGIC, 1)
    assert guest.read(registers.MAGIC) == 0


def test_only_what_is_whole_and_aligned_is_a_write(guest: Guest) -> None:
    guest.write(registers.SCRATCH, 0xDDCCBBAA)
    guest.put(registers.SCRATCH, b"\0")
    guest.put(registers.SCRATCH + 1, b"\0\0\0\0")
    assert guest.get(registers.SCRATCH, 4) == b"\xaa\xbb\xcc\xdd"
    assert guest.get(registers.SCRATCH + 1, 2) == b"\xbb\xcc"


def test_what_is_read_only_stays(guest: Guest) -> None:
    before = guest.get(0, PAGE)
    for register in (0x04, 0x10, 0x14, 0x28, 0x2C, 0x34, 0x7FC):
        guest.write(register, 0xFFFFFFFF)
    assert guest.get(0, PAGE) == before


def test_intx_is_a_level(guest: Guest) -> None:
    guest.write(registers.RAISE, registers.RAISE_INTX)
    assert guest.raised(guest.intx) == 1
    assert guest.config(6, 2) & 8, "the status register says whose it is"
    guest.write(registers.RAISE, registers.RAISE_INTX)
    assert guest.raised(guest.intx) == 0, "masked until it is served"
    guest.set_irqs(0, 0x11)
    assert guest.raised(guest.intx) == 1, "asserted still"
    guest.write(registers.ACK, 0)
    assert not guest.config(6, 2) & 8
    guest.set_irqs(0, 0x11)
    assert guest.raised(guest.intx) == 0
    guest.write(registers.RAISE, registers.RAISE_INTX)
    assert guest.raised(guest.intx) == 1
    assert guest.read(registers.INTX_RAISED) == 3


def test_intx_waits_while_the_command_register_disables_it(guest: Guest) -> None:
    guest.configure(4, 0x0406, 2)
    guest.write(registers.RAISE, registers.RAISE_INTX)
    assert guest.raised(guest.intx) == 0
    assert guest.config(6, 2) & 8
    guest.configure(4, 0x0006, 2)
    assert guest.raised(guest.intx) == 1


def test_intx_waits_while_it_is_masked(guest: Guest) -> None:
    guest.set_irqs(0, 0x09)
    guest.write(registers.RAISE, registers.RAISE_INTX)
    assert guest.raised(guest.intx) == 0
    guest.set_irqs(0, 0x11)
    assert guest.raised(guest.intx) == 1


def test_each_msi_is_sent(guest: Guest) -> None:
    for _ in range(3):
        guest.write(registers.RAISE, registers.RAISE_MSI)
    guest.write(registers.RAISE, registers.RAISE_MSI | 1)
    assert guest.raised(guest.msi) == 3
    assert guest.read(registers.MSI_RAISED) == 3, "there is no vector 1"


def test_dma_goes_both_ways(guest: Guest) -> None:
    seen = guest.map(0x10000, b"from the guest".ljust(PAGE, b"\0"))
    assert guest.dma(registers.DMA_FROM_GUEST, 0x10000, 14) == registers.DMA_DONE
    assert guest.get(registers.DMA_BUFFER, 16) == b"from the guest\0\0"
    guest.put(registers.DMA_BUFFER, b"to")
    assert guest.dma(registers.DMA_TO_GUEST, 0x10FF0, 9) == registers.DMA_DONE
    assert os.pread(seen, 10, 0xFF0) == b"toom the \0"
    assert guest.read(registers.DMA_REFUSED) == 0
    os.close(seen)


def test_dma_crosses_from_one_mapping_to_the_next(guest: Guest) -> None:
    fds = [guest.map(address, bytes([number]) * PAGE) for number, address in enumerate((0x10000, 0x11000), 1)]
    assert guest.dma(registers.DMA_FROM_GUEST, 0x10FFE, 4) == registers.DMA_DONE
    assert guest.get(registers.DMA_BUFFER, 4) == b"\1\1\2\2"
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize(
    ("command", "address", "length"),
    [(1, 0x10000, 0), (1, 0x10000, 2049), (0, 0x10000, 1), (3, 0x10000, 1), (1, (1 << 64) - 1, 2)],
)
def test_a_transfer_that_cannot_be_is_refused(guest: Guest, command: int, address: int, length: int) -> None:
    os.close(guest.map(0x10000, bytes(PAGE)))
    assert guest.dma(command, address, length) == registers.DMA_WAS_REFUSED
    assert guest.read(registers.DMA_REFUSED) == 1
    assert not guest.function.asked


def test_dma_needs_bus_mastering(guest: Guest) -> None:
    os.close(guest.map(0x10000, bytes(PAGE)))
    guest.configure(4, 0x0002, 2)
    assert guest.dma(registers.DMA_FROM_GUEST, 0x10000, 4) == registers.DMA_WAS_REFUSED


@pytest.mark.parametrize(("flags", "command"), [(1, registers.DMA_TO_GUEST), (2, registers.DMA_FROM_GUEST)])
def test_memory_is_used_only_as_it_is_mapped(guest: Guest, flags: int, command: int) -> None:
    os.close(guest.map(0x10000, bytes(PAGE), flags=flags))
    assert guest.dma(command, 0x10000, 4) == registers.DMA_NOTHING
    assert guest.function.asked, "the client decides"


def test_a_file_that_shrinks_refuses_and_ends_nothing(guest: Guest) -> None:
    seen = guest.map(0x10000, bytes(PAGE))
    os.ftruncate(seen, 0)
    assert guest.dma(registers.DMA_FROM_GUEST, 0x10000, 4) == registers.DMA_NOTHING
    assert guest.function.asked
    os.close(seen)


def test_memory_that_is_a_pipe_is_refused(guest: Guest) -> None:
    reader, writer = os.pipe()
    payload = struct.pack("<IIQQQ", 32, 3, 0, 0, PAGE)
    with pytest.raises(ValueError, match="no file"):
        guest.function.handle(Command.DMA_MAP, payload, [reader])
    os.close(reader)
    os.close(writer)


def asked(guest: Guest) -> tuple[int, Command, bytes]:
    (message,) = guest.function.asked
    guest.function.asked.clear()
    number, command, size, flags, _ = struct.unpack_from("<HHIII", message)
    assert (size, flags) == (len(message), 0)
    return number, Command(command), message[16:]


def answer(
    guest: Guest, number: int, command: Command, payload: bytes = b"", *, failed: bool = False
) -> None:
    header = Header(number, command, 16 + len(payload), False, is_reply=True, failed=failed)
    guest.function.answered(header, payload)


def test_what_no_mapping_covers_is_read_by_the_client(guest: Guest) -> None:
    assert guest.dma(registers.DMA_FROM_GUEST, 0x5000, 4) == registers.DMA_NOTHING
    number, command, payload = asked(guest)
    assert (command, payload) == (Command.DMA_READ, struct.pack("<QQ", 0x5000, 4))
    assert guest.dma(registers.DMA_FROM_GUEST, 0x6000, 4) == registers.DMA_NOTHING, "one at a time"
    answer(guest, number, command, payload + b"data")
    assert guest.read(registers.DMA_STATUS) == registers.DMA_DONE
    assert guest.get(registers.DMA_BUFFER, 4) == b"data"
    assert guest.read(registers.DMA_REFUSED) == 1, "the second one"


def test_what_no_mapping_covers_is_written_by_the_client(guest: Guest) -> None:
    guest.put(registers.DMA_BUFFER, b"data")
    guest.dma(registers.DMA_TO_GUEST, 0x5000, 3)
    number, command, payload = asked(guest)
    assert (command, payload) == (Command.DMA_WRITE, struct.pack("<QQ", 0x5000, 3) + b"dat")
    answer(guest, number, command)
    assert guest.read(registers.DMA_STATUS) == registers.DMA_DONE


def test_what_the_client_refuses_is_refused(guest: Guest) -> None:
    guest.dma(registers.DMA_FROM_GUEST, 0x5000, 4)
    number, command, _ = asked(guest)
    answer(guest, number, command, failed=True)
    assert guest.read(registers.DMA_STATUS) == registers.DMA_WAS_REFUSED
    assert guest.read(registers.DMA_REFUSED) == 1


def test_an_answer_that_comes_after_a_reset_goes_nowhere(guest: Guest) -> None:
    guest.dma(registers.DMA_FROM_GUEST, 0x5000, 4)
    number, command, payload = asked(guest)
    guest.function.handle(Command.DEVICE_RESET, b"", [])
    guest.turn_on()
    answer(guest, number, command, payload + b"data")
    assert guest.read(registers.DMA_STATUS) == registers.DMA_NOTHING
    assert guest.get(registers.DMA_BUFFER, 4) == bytes(4)


def test_requests_that_nobody_answers_have_a_limit(guest: Guest) -> None:
    for _ in range(16):
        assert guest.dma(registers.DMA_FROM_GUEST, 0x5000, 4) == registers.DMA_NOTHING
        guest.function.handle(Command.DEVICE_RESET, b"", [])
        guest.turn_on()
        guest.configure(4, 0x0006, 2)
    assert guest.dma(registers.DMA_FROM_GUEST, 0x5000, 4) == registers.DMA_WAS_REFUSED


@pytest.mark.parametrize(
    ("number", "command", "payload"),
    [(9, Command.DMA_READ, b""), (1, Command.DMA_WRITE, b""), (1, Command.DMA_READ, bytes(19))],
)
def test_a_reply_to_nothing_or_too_short_ends_the_connection(
    guest: Guest, number: int, command: Command, payload: bytes
) -> None:
    guest.dma(registers.DMA_FROM_GUEST, 0x5000, 4)
    with pytest.raises(ProtocolError):
        answer(guest, number, command, payload)


@pytest.mark.parametrize("how", ["message", "function level", "disconnect"])
def test_a_reset_turns_it_off_and_clears_it(guest: Guest, how: str) -> None:
    guest.write(registers.SCRATCH, 5)
    guest.put(registers.DMA_BUFFER, b"dirt")
    guest.write(registers.RAISE, registers.RAISE_INTX)
    guest.dma(registers.DMA_FROM_GUEST, 0x10000, 0)
    match how:
        case "message":
            guest.function.handle(Command.DEVICE_RESET, b"", [])
        case "function level":
            guest.configure(0x60, 0xA810, 2)
        case _:
            guest.function.disconnect()
    assert guest.get(0, PAGE) == bytes(PAGE)
    assert not guest.config(6, 2) & 8
    guest.turn_on()
    assert guest.get(8, PAGE - 8) == bytes(PAGE - 8)


@pytest.mark.parametrize("broken", ["no-intx"], indirect=True)
def test_broken_no_intx(broken: Guest) -> None:
    broken.write(registers.RAISE, registers.RAISE_INTX)
    broken.write(registers.RAISE, registers.RAISE_MSI)
    assert (broken.raised(broken.intx), broken.raised(broken.msi)) == (0, 1)


@pytest.mark.parametrize("broken", ["no-msi"], indirect=True)
def test_broken_no_msi(broken: Guest) -> None:
    broken.write(registers.RAISE, registers.RAISE_INTX)
    broken.write(registers.RAISE, registers.RAISE_MSI)
    assert (broken.raised(broken.intx), broken.raised(broken.msi)) == (1, 0)


@pytest.mark.parametrize("broken", ["dma-wrong-address"], indirect=True)
def test_broken_dma_address(broken: Guest) -> None:
    seen = broken.map(0x10000, bytes(64) + b"beside".ljust(PAGE - 64, b"\0"))
    assert broken.dma(registers.DMA_FROM_GUEST, 0x10000, 6) == registers.DMA_DONE
    assert broken.get(registers.DMA_BUFFER, 6) == b"beside"
    os.close(seen)


@pytest.mark.parametrize("broken", ["ignores-blocked-dma"], indirect=True)
def test_broken_blocked_dma(broken: Guest) -> None:
    broken.dma(registers.DMA_FROM_GUEST, 0x5000, 4)
    number, command, _ = asked(broken)
    answer(broken, number, command, failed=True)
    assert broken.read(registers.DMA_STATUS) == registers.DMA_DONE


@pytest.mark.parametrize("broken", ["bar-stuck"], indirect=True)
def test_broken_bar(broken: Guest) -> None:
    broken.write(registers.SCRATCH, 5)
    assert broken.read(registers.SCRATCH) == 0
    for region in (0, 2, 4):
        broken.function.handle(Command.REGION_WRITE, protocol.access_payload(0, region, 4, b"lost"), [])
        assert broken.function.read(region, 0, 4) == bytes(4)
    info = struct.pack("<IIIIQQ", 64, 0, 0, 0, 0, 0)
    assert broken.function.handed_out(info) is None, "what is mapped would not be lost"


@pytest.mark.parametrize("how", ["message", "function level"])
def test_broken_reset(gpu: FunctionSpec, how: str) -> None:
    def reset(guest: Guest) -> None:
        if how == "message":
            guest.function.handle(Command.DEVICE_RESET, b"", [])
        else:
            guest.configure(0x60, 0xA810, 2)

    spec = dataclasses.replace(gpu, broken=frozenset({"lost-after-reset"}))
    unused = Function(spec, lambda _: None)
    unused.handle(Command.DEVICE_RESET, b"", [])
    assert unused.read(7, 0, 4) == b"\x02\x10\xef\x67", "the machine's own reset, before anybody used it"
    (guest,) = [Guest(spec)]
    reset(guest)
    assert guest.function.read(7, 0, 64) == b"\xff" * 64
    guest.function.disconnect()
    assert guest.function.read(7, 0, 4) == b"\xff" * 4, "until the server is started anew"
    os.close(guest.intx)
    os.close(guest.msi)
