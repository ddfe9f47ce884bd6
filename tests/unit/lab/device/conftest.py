"""The two functions of an RX 560, and a server of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.lab.device.client import Client
from pipeline.lab.device.function import Bar, BarKind, FunctionSpec
from pipeline.lab.run_directory import run_directory
from pipeline.lab.servers import device_server

PATIENCE = 60.0


def rx560() -> FunctionSpec:
    return FunctionSpec(
        name="gpu",
        vendor_id=0x1002,
        device_id=0x67EF,
        class_code=0x030000,
        subsystem_vendor_id=0x148C,
        subsystem_id=0x2385,
        revision=0xE5,
        bars=(
            Bar(index=0, size=256 << 20, kind=BarKind.MEM64_PREFETCHABLE),
            Bar(index=2, size=2 << 20, kind=BarKind.MEM64_PREFETCHABLE),
            Bar(index=4, size=256, kind=BarKind.IO),
            Bar(index=5, size=256 << 10, kind=BarKind.MEM32),
        ),
        interrupt_pin=1,
        multifunction=True,
        msi_vectors=1,
    )


def rx560_audio() -> FunctionSpec:
    return FunctionSpec(
        name="audio",
        vendor_id=0x1002,
        device_id=0xAAE0,
        class_code=0x040300,
        subsystem_vendor_id=0x148C,
        subsystem_id=0xAAE0,
        revision=0,
        bars=(Bar(index=0, size=16 << 10, kind=BarKind.MEM64),),
        interrupt_pin=2,
        multifunction=True,
        msi_vectors=1,
    )


@pytest.fixture(scope="session")
def gpu() -> FunctionSpec:
    return rx560()


@pytest.fixture(scope="session")
def audio() -> FunctionSpec:
    return rx560_audio()


def _eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], bool]], bool]:
    """Whether something comes true; most things do at once."""
    return _eventually


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    folder: Path
    pid: int

    def socket(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    @contextlib.contextmanager
    def client(self, name: str) -> Iterator[Client]:
        """A client with its version agreed; waits until the server has seen that the last one left."""
        deadline = time.monotonic() + PATIENCE
        while True:
            client = Client(self.socket(name))
            client.stream.settimeout(PATIENCE)
            try:
                client.__enter__()
            except (EOFError, ConnectionError):
                client.stream.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
                continue
            try:
                yield client
            finally:
                client.stream.close()
            return

    def descriptors(self, kind: str = "") -> int:
        """How many file descriptors it has open, those of a kind where one is named."""
        found = 0
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found += kind in str(entry.readlink())
        return found

    def still_serves(self, name: str = "gpu") -> bool:
        device = {"gpu": 0x67EF1002, "audio": 0xAAE01002}[name]
        with self.client(name) as client:
            return client.config(0, 4) == device


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for a module's tests: each leaves it serving."""
    with (
        run_directory(tmp_path_factory.mktemp("runs")) as run,
        device_server([rx560(), rx560_audio()], run=run) as process,
    ):
        yield Served(run.path, process.pid)
        assert process.poll() is None, "the server died"
