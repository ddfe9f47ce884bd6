"""The protocol: any message is answered or refused, never anything else."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.lab.device import protocol
from pipeline.lab.device.emulation import Function
from pipeline.lab.device.function import FunctionSpec
from pipeline.lab.device.memory import Overlaps
from pipeline.lab.device.protocol import Command, Header, ProtocolError

# The server ends the connection for the first and makes an error reply of the others.
REFUSED = (ProtocolError, ValueError, Overlaps)
COMMANDS = st.sampled_from(Command)
WORDS = st.integers(0, 0xFFFFFFFF) | st.integers(0, 64)
LONGS = st.integers(0, (1 << 64) - 1) | st.integers(0, 1 << 20)
PAYLOADS = (
    st.binary(max_size=80)
    | st.builds(struct.Struct("<IIQQQ").pack, WORDS, WORDS, LONGS, LONGS, LONGS)
    | st.builds(struct.Struct("<IIQQ").pack, WORDS, WORDS, LONGS, LONGS)
    | st.builds(struct.Struct("<IIIII").pack, WORDS, WORDS, WORDS, WORDS, WORDS)
    | st.builds(struct.Struct("<IIII").pack, WORDS, WORDS, WORDS, WORDS)
    | st.builds(struct.Struct("<QII").pack, LONGS, WORDS, WORDS)
    | st.builds(
        lambda offset, region, data: struct.pack("<QII", offset, region, len(data)) + data,
        LONGS,
        st.integers(0, 9),
        st.binary(max_size=80),
    )
    | st.builds(
        lambda major, minor, text: struct.pack("<HH", major, minor) + text.encode() + b"\0",
        st.integers(0, 1),
        st.integers(0, 1),
        st.text() | st.sampled_from(["{}", "[]", '{"capabilities":{}}', "[" * 60000, "1" * 9999]),
    )
)


def quiet(spec: FunctionSpec) -> Function:
    return Function(spec, lambda _: None)


@given(st.binary(min_size=16, max_size=16))
def test_any_header_is_read_or_refused(data: bytes) -> None:
    try:
        read = protocol.header(data)
    except ProtocolError:
        return
    assert protocol.HEADER_SIZE <= read.size <= protocol.MESSAGE_LIMIT


@given(
    st.sampled_from(sorted(set(Command) - protocol.ASKED)),
    st.integers(0, 0xFFFF),
    st.binary(max_size=64),
    st.booleans(),
)
def test_a_request_comes_back_as_it_was_sent(
    command: Command, message: int, payload: bytes, no_reply: bool
) -> None:
    data = protocol.request(message, command, payload, no_reply=no_reply)
    assert protocol.header(data[:16]) == Header(message, command, len(data), no_reply)


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("command", sorted(protocol.ASKED))
def test_a_reply_to_what_a_client_is_asked_is_read(command: Command, failed: bool) -> None:
    data = struct.pack("<HHIII", 7, command, 40, 0x21 if failed else 0x1, 14)
    assert protocol.header(data) == Header(7, command, 40, False, is_reply=True, failed=failed)


@pytest.mark.parametrize(
    "data",
    [
        *(struct.pack("<HHIII", 1, 11, 16, flags, 0) for flags in (0, 0x10, 0x20, 0x11, 0x3)),
        struct.pack("<HHIII", 1, 1, 15, 0, 0),
        struct.pack("<HHIII", 1, 1, protocol.MESSAGE_LIMIT + 1, 0, 0),
        struct.pack("<HHIII", 1, 1, 0xFFFFFFFF, 0, 0),
        struct.pack("<HHIII", 1, 1, 16, 1, 0),
        struct.pack("<HHIII", 1, 1, 16, 0x20, 0),
        struct.pack("<HHIII", 1, 6, 16, 0, 0),
        struct.pack("<HHIII", 1, 0, 16, 0, 0),
        struct.pack("<HHIII", 1, 0xFFFF, 16, 0, 0),
    ],
)
def test_a_header_that_may_not_be_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.header(data)


@given(st.lists(st.tuples(COMMANDS, PAYLOADS), min_size=1, max_size=6))
def test_any_payload_is_answered_or_refused(gpu: FunctionSpec, messages: list[tuple[Command, bytes]]) -> None:
    function = quiet(gpu)
    for command, payload in messages:
        try:
            answer = function.handle(command, payload, [])
        except REFUSED:
            continue
        assert len(answer) + protocol.HEADER_SIZE <= protocol.MESSAGE_LIMIT


@given(st.lists(st.tuples(COMMANDS, PAYLOADS, st.integers(0, 3)), min_size=1, max_size=6))
def test_what_comes_with_any_payload_is_kept_or_left_never_lost(
    gpu: FunctionSpec, messages: list[tuple[Command, bytes, int]]
) -> None:
    function = quiet(gpu)
    kept: set[int] = set()
    for command, payload, count in messages:
        wanted = min(count, protocol.FDS.get(command, 0))
        fds = [os.memfd_create("m") if command is Command.DMA_MAP else os.eventfd(0) for _ in range(wanted)]
        sent = set(fds)
        try:
            function.handle(command, payload, fds)
        except REFUSED:
            pass
        finally:
            kept |= sent - set(fds)
            for fd in fds:
                os.close(fd)
    function.disconnect()
    for fd in kept:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)


def test_the_version_is_the_one_that_qemu_takes() -> None:
    answer = protocol.version(struct.pack("<HH", 0, 0) + b'{"capabilities":{"max_msg_fds":8}}\0')
    assert answer[:4] == bytes(4)
    assert answer[-1:] == b"\0"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\0\0",
        struct.pack("<HH", 1, 0),
        struct.pack("<HH", 0, 1),
        bytes(4) + b"{}",
        bytes(4) + b"\xff\0",
        bytes(4) + b"[]\0",
        bytes(4) + b"[" * 60000 + b"\0",
        bytes(4) + b"9" * 60000 + b"\0",
    ],
)
def test_another_version_or_no_capabilities_are_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.version(payload)


@pytest.mark.parametrize(
    ("payload", "fds"),
    [
        (struct.pack("<IIIII", 20, 0x24, 0, 0, 1), 2),
        (struct.pack("<IIIII", 20, 0x21, 0, 0, 1), 1),
        (struct.pack("<IIIII", 20, 0x20, 0, 0, 1), 0),
        (struct.pack("<IIIII", 20, 0x07, 0, 0, 1), 0),
        (struct.pack("<IIIII", 20, 0x24, 5, 0, 1), 0),
        (struct.pack("<IIIII", 20, 0x24, 0, 0, 33), 0),
        (struct.pack("<IIIII", 20, 0x24, 0, 0xFFFFFFFF, 1), 0),
        (struct.pack("<IIIII", 19, 0x24, 0, 0, 1), 0),
        (struct.pack("<IIIII", 20, 0x22, 0, 0, 1), 0),
    ],
)
def test_interrupts_that_cannot_be_are_refused(payload: bytes, fds: int) -> None:
    with pytest.raises(ProtocolError):
        protocol.set_irqs(payload, fds)


@pytest.mark.parametrize(
    ("argsz", "offset", "address", "size"),
    [(31, 0, 0, 4096), (32, 0, 0, 0), (32, 0, 1 << 63, (1 << 63) + 1), (32, (1 << 63) - 1, 0, 4096)],
)
def test_a_mapping_out_of_range_is_refused(argsz: int, offset: int, address: int, size: int) -> None:
    with pytest.raises(ProtocolError):
        protocol.dma_map(struct.pack("<IIQQQ", argsz, 3, offset, address, size))


@pytest.mark.parametrize(
    ("mappable", "room", "flags", "areas"),
    [(0, 32, 0x3, b""), (0x4000, 32, 0x7, b""), (0x3000, 32, 0xF, b""), (0x3000, 64, 0xF, (0, 0x3000))],
)
def test_what_can_be_mapped_of_a_region_is_said(
    mappable: int, room: int, flags: int, areas: tuple[int, int] | bytes
) -> None:
    answer = protocol.region_info(5, 0x4000, mappable=mappable, room=room)
    sparse = flags & 8
    # A list of areas is announced where it is even while there is no room: QEMU takes nothing else (ran, 11.1).
    assert struct.unpack_from("<IIIIQQ", answer) == (
        64 if sparse else 32,
        flags,
        5,
        32 if sparse else 0,
        0x4000,
        0,
    )
    assert len(answer) <= room
    assert answer[32:] == (struct.pack("<HHIIIQQ", 1, 1, 0, 1, 0, *areas) if areas else b"")


@pytest.mark.parametrize(
    ("flags", "values", "chosen"), [(0x21, b"", [2, 3]), (0x22, b"\0\1", [3]), (0x22, b"\1\0rest", [2])]
)
def test_what_a_message_chooses_is_all_or_what_has_a_value(
    flags: int, values: bytes, chosen: list[int]
) -> None:
    message = protocol.set_irqs(struct.pack("<IIIII", 20, flags, 1, 2, 2) + values, 0)
    assert message.chosen == chosen
