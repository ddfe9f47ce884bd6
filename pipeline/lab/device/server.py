"""Serves emulated functions to QEMU's vfio-user-pci, one UNIX socket each, all in one event loop.

    python -m pipeline.lab.device.server SPEC.json [--exit-with-stdin]

One loop, not a thread each: a half message waits in its own buffer, and reads of configuration space are
answered without a change of thread. A message that the protocol does not allow ends its connection with one
line in the log; the other functions go on.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

from pipeline.lab.device import protocol
from pipeline.lab.device.emulation import Function
from pipeline.lab.device.function import FunctionSpec, from_json
from pipeline.lab.device.memory import Overlaps
from pipeline.lab.device.protocol import Command, ProtocolError

_BACKLOG_LIMIT = 1 << 22


class _Connection:
    """A client in the middle of sending a message and of getting its replies."""

    def __init__(self, stream: socket.socket, function: Function) -> None:
        self.stream = stream
        self.function = function
        self.header: protocol.Header | None = None
        self.negotiated = False
        self._got = b""
        self._fds: list[int] = []
        self.unsent = bytearray()

    def receive(self) -> None:
        """Read what is there, at most to the end of one message, and answer it when it is whole.

        Never reads beyond a message: descriptors come with the bytes they were sent with. Raises EOFError when
        the client has gone, ProtocolError when it may not stay.
        """
        size = self.header.size if self.header else protocol.HEADER_SIZE
        try:
            data, ancillary, flags, _ = self.stream.recvmsg(
                size - len(self._got), socket.CMSG_SPACE(4 * 2 * protocol.FD_LIMIT)
            )
        except BlockingIOError:
            return
        for level, kind, body in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                count = len(body) // 4
                self._fds += memoryview(body[: 4 * count]).cast("i").tolist()
        if not data:
            raise EOFError
        if flags & socket.MSG_CTRUNC or len(self._fds) > protocol.FD_LIMIT:
            raise ProtocolError("too many file descriptors")
        self._got += data
        if self.header is None and len(self._got) == protocol.HEADER_SIZE:
            self.header = protocol.header(self._got)
            if self.negotiated == (self.header.command is Command.VERSION):
                raise ProtocolError("a second version" if self.negotiated else "a request before the version")
        if self.header is not None and len(self._got) == self.header.size:
            self._answer(self.header)

    def _answer(self, header: protocol.Header) -> None:
        payload, fds = self._got[protocol.HEADER_SIZE :], self._fds
        self._got, self._fds, self.header = b"", [], None
        try:
            if len(fds) > protocol.FDS.get(header.command, 0):
                raise ProtocolError(f"{len(fds)} file descriptors with {header.command.name}")
            try:
                answer = protocol.reply(header, self.function.handle(header.command, payload, fds))
            except Overlaps:
                answer = protocol.error_reply(header, errno.EEXIST)
            except ValueError:
                answer = protocol.error_reply(header, errno.EINVAL)
            except OSError as error:
                answer = protocol.error_reply(header, error.errno or errno.EIO)
        finally:
            _close_all(fds)
        self.negotiated = True
        if not header.no_reply:
            self.unsent += answer
            self.send()

    def send(self) -> None:
        """Send what the client has room for."""
        with contextlib.suppress(BlockingIOError):
            while self.unsent:
                sent = self.stream.send(self.unsent)
                del self.unsent[:sent]
        if len(self.unsent) > _BACKLOG_LIMIT:
            raise ProtocolError("the client does not read its replies")

    def close(self) -> None:
        """Let go of everything that the client gave."""
        _close_all(self._fds)
        self.stream.close()
        self.function.disconnect()


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
    fds.clear()


class Server:
    """All functions of a board, each with its socket in the working directory."""

    def __init__(self, specs: tuple[FunctionSpec, ...]) -> None:
        self._started = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._paths: list[Path] = []
        self._busy: set[str] = set()
        self._running = True
        os.umask(0o077)
        for spec in specs:
            path = Path(f"{spec.name}.sock")
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.setblocking(False)
            listener.bind(str(path))
            listener.listen(1)
            self._paths.append(path)
            self._selector.register(listener, selectors.EVENT_READ, Function(spec, self._log))

    def _log(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:9.3f} {text}", file=sys.stderr, flush=True)

    def stop(self) -> None:
        """End the loop after what it is doing."""
        self._running = False

    def watch(self, descriptor: int) -> None:
        """End when `descriptor` has nothing more to say."""
        os.set_blocking(descriptor, False)
        try:
            self._selector.register(descriptor, selectors.EVENT_READ, None)
        except PermissionError:
            # epoll takes no files: a file, /dev/null for one, is at its end already (epoll_ctl(2)).
            self.stop()

    def serve(self) -> None:
        """Serve until stopped; the sockets are gone afterwards."""
        try:
            while self._running:
                for key, events in self._selector.select(timeout=1.0):
                    match key.data:
                        case Function():
                            self._accept(key.fileobj, key.data)
                        case _Connection():
                            self._talk(key.data, events)
                        case _:
                            self._hear(key.fd)
        finally:
            for path in self._paths:
                path.unlink(missing_ok=True)

    def _hear(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(descriptor, 4096):
                self.stop()

    def _accept(self, listener: object, function: Function) -> None:
        assert isinstance(listener, socket.socket)
        try:
            stream, _ = listener.accept()
        except OSError:
            return
        if function.spec.name in self._busy:
            self._log(f"{function.spec.name}: a second client was turned away")
            stream.close()
            return
        self._busy.add(function.spec.name)
        stream.setblocking(False)
        self._log(f"{function.spec.name}: connected")
        self._selector.register(stream, selectors.EVENT_READ, _Connection(stream, function))

    def _talk(self, connection: _Connection, events: int) -> None:
        name = connection.function.spec.name
        try:
            if events & selectors.EVENT_WRITE:
                connection.send()
            if events & selectors.EVENT_READ:
                connection.receive()
        except (EOFError, ConnectionError):
            reason = "disconnected"
        except ProtocolError as error:
            reason = f"closed: {error}"
        else:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
            if self._selector.get_key(connection.stream).events != wanted:
                self._selector.modify(connection.stream, wanted, connection)
            return
        self._log(f"{name}: {reason}")
        self._selector.unregister(connection.stream)
        connection.close()
        self._busy.discard(name)


def main() -> int:
    """Serve the functions of a file until SIGTERM, SIGINT or the end of standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--exit-with-stdin", action="store_true")
    options = parser.parse_args()
    try:
        server = Server(from_json(options.spec.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        print(f"{options.spec}: {error}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    # select() is resumed after a signal (PEP 475): the wake-up lets the loop notice at once.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    server.watch(reader)
    if options.exit_with_stdin:
        server.watch(sys.stdin.fileno())
    print("ready", flush=True)
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
