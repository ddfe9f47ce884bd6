"""How much memory a run takes at its peak: this process and all it started, sampled."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

_INTERVAL = 1.0


@dataclass(slots=True)
class Peak:
    """The largest sum of resident memory seen, in bytes; shared pages count once for each process."""

    bytes: int = 0


@contextlib.contextmanager
def peak() -> Iterator[Peak]:
    """Sample while the context lasts."""
    found = Peak()
    done = threading.Event()

    def sample() -> None:
        own = psutil.Process()
        while True:
            total = 0
            for process in [own, *own.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
            found.bytes = max(found.bytes, total)
            if done.wait(_INTERVAL):
                return

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
