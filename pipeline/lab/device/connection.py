"""One client of an emulated function: its bytes to messages, and the answers back.

A message costs one recvmsg and one send where the client waits for each answer, as QEMU does.
"""

from __future__ import annotations

import array
import contextlib
import errno
import itertools
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence

from pipeline.lab.device import protocol
from pipeline.lab.device.emulation import Function
from pipeline.lab.device.memory import Overlaps
from pipeline.lab.device.protocol import Command, Header, ProtocolError

_BACKLOG_LIMIT = 1 << 22
_CHUNK = 4096
_MOST_AT_ONCE = 64
_ROOM_FOR_DESCRIPTORS = socket.CMSG_SPACE(4 * 2 * protocol.FD_LIMIT)
# A request to read a region: header, offset, region, count; and the header of its answer.
_READ = struct.Struct("<HHIIIQII")
_ANSWER = struct.Struct("<HHIII")


class Connection:
    """A client, perhaps in the middle of sending a message or of getting its replies."""

    def __init__(self, stream: socket.socket, function: Function) -> None:
        self.stream = stream
        self.function = function
        self._negotiated = False
        self._header: Header | None = None
        self._got = b""
        # Descriptors of the message that is not whole yet, and those that have just come.
        self._kept: list[int] = []
        self._fresh: list[int] = []
        self._unsent: deque[tuple[bytes, int | None]] = deque()
        self._unsent_size = 0

    @property
    def behind(self) -> bool:
        """Whether there is something that the client had no room for."""
        return bool(self._unsent)

    def receive(self) -> None:
        """Take what has come and answer what is whole.

        Raises EOFError when the client has gone, ProtocolError when it may not stay.
        """
        missing = self._header.size - len(self._got) if self._header else 0
        try:
            data, ancillary, flags, _ = self.stream.recvmsg(
                max(missing, _CHUNK), _ROOM_FOR_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        if not ancillary and len(data) == _READ.size and not self._got and self._answer_read(data):
            return
        for level, kind, body in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._fresh += memoryview(body[: len(body) // 4 * 4]).cast("i").tolist()
        if not data:
            raise EOFError
        if flags & socket.MSG_CTRUNC:
            raise ProtocolError("too many file descriptors")
        self._got += data
        try:
            self._take_messages()
        finally:
            self.send()

    def send(self) -> None:
        """Send what the client has room for."""
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                data, fd = self._unsent[0]
                if fd is None:
                    plain = itertools.takewhile(lambda one: one[1] is None, self._unsent)
                    sent = self.stream.sendmsg([one[0] for one in itertools.islice(plain, _MOST_AT_ONCE)])
                else:
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
                    sent = self.stream.sendmsg([data], rights)
                self._sent(sent)

    def _sent(self, count: int) -> None:
        self._unsent_size -= count
        while count:
            data, _ = self._unsent.popleft()
            if count < len(data):
                self._unsent.appendleft((data[count:], None))
            count -= min(count, len(data))

    def close(self) -> None:
        """Let go of everything that the client gave."""
        _close_all(self._kept)
        _close_all(self._fresh)
        self.stream.close()
        self.function.disconnect()

    def _answer_read(self, data: bytes) -> bool:
        """The way of nearly every message: False where it is something else, or goes wrong."""
        number, command, size, flags, _, offset, region, count = _READ.unpack(data)
        if (
            command != Command.REGION_READ
            or size != _READ.size
            or flags
            or self._unsent
            or not self._negotiated
            or region >= protocol.REGIONS
            or not 0 < count <= protocol.TRANSFER_LIMIT
        ):
            return False
        try:
            found = self.function.read(region, offset, count)
        except (ValueError, OSError):
            return False
        answer = _ANSWER.pack(number, command, size + count, protocol.REPLY, 0) + data[16:] + found
        try:
            sent = self.stream.send(answer)
        except BlockingIOError:
            sent = 0
        if sent < len(answer):
            self._queue(answer[sent:])
        return True

    def _take_messages(self) -> None:
        """Everything whole in what has come.

        A read of a stream socket ends behind the data that came with descriptors (net/unix/af_unix.c
        unix_stream_read_generic()), so new ones belong to the last message that has begun.
        """
        position = 0
        while True:
            if self._header is None and len(self._got) - position >= protocol.HEADER_SIZE:
                self._header = protocol.header(self._got[position : position + protocol.HEADER_SIZE])
                if self._negotiated == (self._header.command is Command.VERSION):
                    raise ProtocolError(
                        "a second version" if self._negotiated else "a request before the version"
                    )
            if self._header is None or len(self._got) - position < self._header.size:
                break
            end = position + self._header.size
            fds, self._kept = self._kept, []
            if end == len(self._got):
                fds, self._fresh = fds + self._fresh, []
            header, self._header = self._header, None
            self._answer(header, self._got[position + protocol.HEADER_SIZE : end], fds)
            position = end
        self._got = self._got[position:]
        self._kept, self._fresh = self._kept + self._fresh, []
        if len(self._kept) > protocol.FD_LIMIT:
            raise ProtocolError("too many file descriptors")

    def _answer(self, header: Header, payload: bytes, fds: list[int]) -> None:
        attached = None
        try:
            if len(fds) > protocol.FDS.get(header.command, 0):
                raise ProtocolError(f"{len(fds)} file descriptors with {header.command.name}")
            if header.is_reply:
                self.function.answered(header, payload)
                return
            answer = protocol.reply(header, self.function.handle(header.command, payload, fds))
            if header.command is Command.DEVICE_GET_REGION_INFO:
                attached = self.function.handed_out(payload)
        except Overlaps:
            answer = protocol.error_reply(header, errno.EEXIST)
        except ValueError:
            answer = protocol.error_reply(header, errno.EINVAL)
        except OSError as error:
            answer = protocol.error_reply(header, error.errno or errno.EIO)
        finally:
            _close_all(fds)
        self._negotiated = True
        if not header.no_reply:
            self._queue(answer, attached)
        for request in self.function.asked:
            self._queue(request)
        self.function.asked.clear()

    def _queue(self, data: bytes, fd: int | None = None) -> None:
        self._unsent_size += len(data)
        self._unsent.append((data, fd))
        if self._unsent_size > _BACKLOG_LIMIT:
            raise ProtocolError("the client does not read its replies")


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
