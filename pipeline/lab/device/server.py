"""Serves emulated functions to QEMU's vfio-user-pci, one UNIX socket each, all in one event loop.

    python -m pipeline.lab.device.server SPEC.json [--exit-with-stdin]

One loop, not a thread each: a half message waits in its own buffer, and reads of configuration space are
answered without a change of thread. A message that the protocol does not allow ends its connection with one
line in the log; the other functions go on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.lab.device.connection import Connection
from pipeline.lab.device.emulation import Function
from pipeline.lab.device.function import FunctionSpec, from_json
from pipeline.lab.device.protocol import ProtocolError

_PATIENCE = 1.0
# So long after a message the next is waited for without sleep: a guest reads one register after the other, and to wake
# a processor of a virtual machine takes longer than to answer (ran: 31,000 reads a second in place of 11,000).
AWAKE = 0.0001


class Server:
    """All functions of a board, each with its socket in the working directory."""

    def __init__(self, specs: tuple[FunctionSpec, ...], *, awake: float = AWAKE) -> None:
        """`awake`: how many seconds after a message it does not sleep."""
        self._awake = awake
        self._started = time.monotonic()
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
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
            function = Function(spec, self._log, self._watch_event)
            self._register(listener.fileno(), partial(self._accept, listener, function))

    def _log(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:9.3f} {text}", file=sys.stderr, flush=True)

    def stop(self) -> None:
        """End the loop after what it is doing."""
        self._running = False

    def watch(self, descriptor: int) -> None:
        """End when `descriptor` has nothing more to say."""
        os.set_blocking(descriptor, False)
        try:
            self._register(descriptor, lambda _: self._hear(descriptor))
        except PermissionError:
            # epoll takes no files: a file, /dev/null for one, is at its end already (epoll_ctl(2)).
            self.stop()

    def serve(self) -> None:
        """Serve until stopped; the sockets are gone afterwards."""
        try:
            answered = 0.0
            while self._running:
                awake = time.monotonic() - answered < self._awake
                for descriptor, events in self._epoll.poll(0 if awake else _PATIENCE):
                    # One that an earlier event of these has closed is there no more.
                    handler = self._handlers.get(descriptor)
                    if handler is not None:
                        handler(events)
                    answered = time.monotonic()
        finally:
            for path in self._paths:
                path.unlink(missing_ok=True)

    def _register(self, descriptor: int, handler: Callable[[int], None]) -> None:
        self._epoll.register(descriptor, select.EPOLLIN)
        self._handlers[descriptor] = handler

    def _unregister(self, descriptor: int) -> None:
        del self._handlers[descriptor]
        self._epoll.unregister(descriptor)

    def _watch_event(self, descriptor: int, heard: Callable[[], None] | None) -> None:
        if heard is None:
            self._unregister(descriptor)
        else:
            self._register(descriptor, lambda _: heard())

    def _hear(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(descriptor, 4096):
                self.stop()

    def _accept(self, listener: socket.socket, function: Function, _: int) -> None:
        try:
            stream, _address = listener.accept()
        except OSError:
            return
        if function.spec.name in self._busy:
            self._log(f"{function.spec.name}: a second client was turned away")
            stream.close()
            return
        self._busy.add(function.spec.name)
        stream.setblocking(False)
        self._log(f"{function.spec.name}: connected")
        self._register(stream.fileno(), partial(self._talk, Connection(stream, function)))

    def _talk(self, connection: Connection, events: int) -> None:
        was_behind = connection.behind
        try:
            if events & select.EPOLLOUT:
                connection.send()
            if events & ~select.EPOLLOUT:
                connection.receive()
        except (EOFError, ConnectionError):
            reason = "disconnected"
        except ProtocolError as error:
            reason = f"closed: {error}"
        else:
            if connection.behind != was_behind:
                wanted = select.EPOLLIN | (select.EPOLLOUT if connection.behind else 0)
                self._epoll.modify(connection.stream.fileno(), wanted)
            return
        name = connection.function.spec.name
        self._log(f"{name}: {reason}")
        self._unregister(connection.stream.fileno())
        connection.close()
        self._busy.discard(name)


def run(server: Server, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, or what else stops it; `ready` is called first."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    # select() is resumed after a signal (PEP 475): the wake-up lets the loop notice at once.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    server.watch(reader)
    ready()
    server.serve()


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
    if options.exit_with_stdin:
        server.watch(sys.stdin.fileno())
    run(server, lambda: print("ready", flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
