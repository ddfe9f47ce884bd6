"""The server as a process: no client hurts it, nor another client."""

from __future__ import annotations

import array
import contextlib
import mmap
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import LabFault
from pipeline.lab.device import protocol, registers
from pipeline.lab.device.client import Client, Refused
from pipeline.lab.device.function import FunctionSpec
from pipeline.lab.device.protocol import Command
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.servers import device_server, forked_server

if TYPE_CHECKING:
    from .conftest import Served

Eventually = Callable[[Callable[[], bool]], bool]

ROOT = Path(__file__).resolve().parents[4]
GONE = (EOFError, ConnectionError)
VERSION = protocol.request(1, Command.VERSION, struct.pack("<HH", 0, 0) + b"{}\0")
READ = protocol.request(2, Command.REGION_READ, protocol.access_payload(0, 7, 4))
EVENTFD = "[eventfd]"
MEMFD = "memfd:guest"

GARBAGE = (
    st.binary(min_size=1, max_size=64)
    | st.builds(
        lambda command, size, flags, rest: struct.pack("<HHIII", 1, command, size, flags, 0) + rest,
        st.integers(0, 20),
        st.integers(0, 200) | st.integers(0, 0xFFFFFFFF),
        st.sampled_from([0, 0x10, 1, 0xFFFFFFFF]),
        st.binary(max_size=64),
    )
    | st.builds(protocol.request, st.just(1), st.sampled_from(Command), st.binary(max_size=64))
)


def attach(stream: socket.socket, data: bytes, fds: Sequence[int]) -> None:
    stream.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def memfds(count: int) -> list[int]:
    return [os.memfd_create("guest") for _ in range(count)]


def close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def dma_map(address: int, size: int = 4096) -> bytes:
    return struct.pack("<IIQQQ", 32, 3, 0, address, size)


def set_irqs(index: int, count: int, flags: int = 0x24) -> bytes:
    return struct.pack("<IIIII", 20, flags, index, 0, count)


def is_turned_away(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as stream:
        stream.settimeout(60)
        stream.connect(str(path))
        try:
            return stream.recv(1) == b""
        except ConnectionError:
            return True


def test_both_functions_are_served(server: Served) -> None:
    assert server.still_serves("gpu")
    assert server.still_serves("audio")


def test_only_the_owner_may_open_the_sockets(server: Served) -> None:
    for name in ("gpu", "audio"):
        assert server.socket(name).stat().st_mode & 0o077 == 0


@settings(max_examples=60)
@given(greeted=st.booleans(), messages=st.lists(GARBAGE, min_size=1, max_size=4), fds=st.integers(0, 2))
def test_garbage_never_ends_it(server: Served, greeted: bool, messages: list[bytes], fds: int) -> None:
    given = memfds(fds)
    with server.client("gpu") if greeted else Client(server.socket("gpu")).stream as one:
        stream = one.stream if isinstance(one, Client) else one
        with contextlib.suppress(ConnectionError):
            for message in messages:
                if given:
                    attach(stream, message, given)
                else:
                    stream.sendall(message)
            stream.shutdown(socket.SHUT_WR)
    close(given)
    assert server.still_serves("gpu")
    assert server.still_serves("audio")


def test_a_request_before_the_version_is_refused(server: Served) -> None:
    with Client(server.socket("gpu")).stream as stream:
        stream.sendall(READ)
        with contextlib.suppress(ConnectionError):
            assert stream.recv(1) == b""
    assert server.still_serves("gpu")


def test_half_a_message_of_one_client_does_not_hold_up_another(server: Served) -> None:
    with server.client("gpu") as slow:
        for cut in (0, 10, 20):
            slow.stream.sendall(READ[cut : cut + 10])
            assert server.still_serves("audio")
        slow.stream.sendall(READ[30:])
        answer = b""
        while len(answer) < len(READ) + 4:
            answer += slow.stream.recv(64)
        assert answer[32:] == b"\x02\x10\xef\x67"


def test_requests_without_a_pause_are_all_answered_in_order(server: Served) -> None:
    with server.client("gpu") as client:
        client.stream.sendall(READ * 500)
        wanted = 500 * (len(READ) + 4)
        answer = b""
        while len(answer) < wanted:
            answer += client.stream.recv(65536)
        assert answer[: len(READ) + 4] * 500 == answer


def test_a_client_that_never_reads_its_replies_is_let_go(server: Served) -> None:
    large = protocol.request(2, Command.REGION_READ, protocol.access_payload(0, 0, 65536))
    with server.client("gpu") as client, pytest.raises(ConnectionError):
        while True:
            client.stream.sendall(large)
    assert server.still_serves("gpu")


def test_a_second_client_of_a_function_is_turned_away(server: Served) -> None:
    with server.client("gpu") as first:
        assert is_turned_away(server.socket("gpu"))
        assert first.config(0, 4) == 0x67EF1002
    assert server.still_serves("gpu")


def test_an_access_out_of_range_is_an_error_reply_and_the_client_stays(server: Served) -> None:
    with server.client("gpu") as client:
        with pytest.raises(Refused) as refused:
            client.read(4, 256, 1)
        assert refused.value.args == (22,)
        assert client.config(0, 2) == 0x1002


@pytest.mark.parametrize(
    ("command", "payload", "count"),
    [
        (Command.DMA_MAP, dma_map(0), 2),
        (Command.DMA_UNMAP, struct.pack("<IIQQ", 24, 2, 0, 0), 1),
        (Command.REGION_READ, protocol.access_payload(0, 7, 4), 1),
        (Command.DEVICE_SET_IRQS, set_irqs(1, 1), 2),
        (Command.DEVICE_SET_IRQS, set_irqs(1, 1, flags=0x21), 1),
        (Command.DEVICE_SET_IRQS, set_irqs(1, 1), 9),
        (Command.DEVICE_SET_IRQS, set_irqs(1, 1), 40),
        (Command.DEVICE_RESET, b"", 1),
    ],
)
def test_a_wrong_number_of_descriptors_ends_the_connection(
    server: Served, eventually: Eventually, command: Command, payload: bytes, count: int
) -> None:
    fds = memfds(count)
    with server.client("gpu") as client, pytest.raises(GONE):
        client.call(command, payload, fds)
    close(fds)
    assert server.still_serves("gpu")
    assert eventually(lambda: server.descriptors(MEMFD) == 0)


def test_many_connections_leave_no_descriptor(server: Served, eventually: Eventually) -> None:
    assert server.still_serves("gpu")
    assert eventually(lambda: server.descriptors("socket:") <= 3)
    before = server.descriptors()
    event = os.eventfd(0)
    for number in range(60):
        fds = memfds(2)
        with server.client("gpu") as client, contextlib.suppress(Refused, *GONE):
            client.call(Command.DMA_MAP, dma_map(0), fds[:1])
            client.call(Command.DEVICE_SET_IRQS, set_irqs(0, 1), [event])
            client.call(Command.DEVICE_SET_IRQS, set_irqs(0, 1, flags=0x14), [event])
            match number % 4:
                case 0:
                    client.call(Command.DMA_MAP, dma_map(0), fds[:1])
                case 1:
                    client.call(Command.DEVICE_SET_IRQS, set_irqs(0, 9), fds)
                case 2:
                    attach(client.stream, READ[:7], fds)
                case 3:
                    client.call(99, b"", fds)
        close(fds)
    assert server.still_serves("gpu")
    close([event])
    # Fewer where the connection before was still going away when they were counted.
    assert eventually(lambda: server.descriptors() <= before)


def test_mappings_and_interrupts_hold_a_descriptor_until_they_go(
    server: Served, eventually: Eventually
) -> None:
    memory, other, event = os.memfd_create("guest"), os.memfd_create("guest"), os.eventfd(0)
    with server.client("gpu") as client:
        client.call(Command.DMA_MAP, dma_map(0), [memory])
        client.call(Command.DMA_MAP, dma_map(4096), [other])
        client.call(Command.DMA_MAP, dma_map(8192), [other])
        assert server.descriptors(MEMFD) == 2
        client.call(Command.DMA_UNMAP, struct.pack("<IIQQ", 24, 0, 0, 4096))
        assert server.descriptors(MEMFD) == 1
        for _ in range(5):
            client.call(Command.DEVICE_SET_IRQS, set_irqs(1, 1), [event])
            assert server.descriptors(EVENTFD) == 1
        client.call(Command.DEVICE_SET_IRQS, set_irqs(1, 0, flags=0x21))
        assert server.descriptors(EVENTFD) == 0
        client.call(Command.DEVICE_SET_IRQS, set_irqs(0, 1), [event])
    close([memory, other, event])
    assert eventually(lambda: server.descriptors(MEMFD) + server.descriptors(EVENTFD) == 0)


def test_a_reset_puts_bars_and_config_back(server: Served) -> None:
    with server.client("gpu") as client:
        client.write(7, 0x10, b"\x00\x00\x00\xe0")
        client.write(0, 0x1000, b"dirt")
        assert client.config(0x10, 4) == 0xE000000C
        client.call(Command.DEVICE_RESET)
        assert client.config(0x10, 4) == 0x0000000C
        assert client.read(0, 0x1000, 4) == bytes(4)


def test_descriptors_go_with_the_message_that_they_were_sent_with(server: Served) -> None:
    fds = memfds(2)
    with server.client("gpu") as client:
        # All of it is there before the server looks, the second mapping in two pieces.
        client.stream.sendall(READ)
        attach(client.stream, protocol.request(3, Command.DMA_MAP, dma_map(0)), fds[:1])
        second = protocol.request(4, Command.DMA_MAP, dma_map(4096))
        attach(client.stream, second[:20], fds[1:])
        client.stream.sendall(second[20:] + READ)
        answer = b""
        while len(answer) < 2 * 36 + 2 * 16:
            answer += client.stream.recv(4096)
        assert [answer[at + 8] for at in (0, 36, 52, 68)] == [1, 1, 1, 1]
        assert server.descriptors(MEMFD) == 2
    close(fds)


def test_a_bar_is_mapped_up_to_its_register_page(server: Served) -> None:
    with server.client("gpu") as client:
        payload = struct.pack("<IIIIQQ", 64, 0, 5, 0, 0, 0)
        client.stream.sendall(protocol.request(9, Command.DEVICE_GET_REGION_INFO, payload))
        answer, fds, _, _ = socket.recv_fds(client.stream, 4096, 4)
        assert struct.unpack_from("<IIIIQQ", answer, 16) == (64, 0xF, 5, 32, 256 << 10, 0)
        assert struct.unpack_from("<HHIIIQQ", answer, 48) == (1, 1, 0, 1, 0, 0, (256 << 10) - 4096)
        with mmap.mmap(fds[0], 4096) as mapped:
            mapped[16:20] = b"dry!"
            assert client.read(5, 16, 4) == b"dry!"
            client.write(5, 32, b"boot")
            assert mapped[32:36] == b"boot"
            client.call(Command.DEVICE_RESET)
            assert mapped[:] == bytes(4096)
        with pytest.raises(PermissionError):
            os.ftruncate(fds[0], 0)
        close(fds)


def test_an_unmasked_line_is_signalled_again_until_it_is_served(
    server: Served, eventually: Eventually
) -> None:
    event, unmask = os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0)
    page = (256 << 10) - 4096
    with server.client("gpu") as client:
        client.call(Command.DEVICE_SET_IRQS, set_irqs(0, 1), [event])
        client.call(Command.DEVICE_SET_IRQS, set_irqs(0, 1, flags=0x14), [unmask])
        client.write(5, page, registers.TURN_ON.to_bytes(4, "little"))
        client.write(5, page + registers.RAISE, b"\1\0\0\0")
        client.write(5, page + registers.RAISE, b"\1\0\0\0")
        assert os.eventfd_read(event) == 1, "it masks itself"
        os.eventfd_write(unmask, 1)
        assert eventually(lambda: bool(select.select([event], [], [], 0)[0]))
        assert os.eventfd_read(event) == 1
        client.write(5, page + registers.ACK, bytes(4))
        os.eventfd_write(unmask, 1)
        client.config(0, 4)
        client.config(0, 4)
        with pytest.raises(BlockingIOError):
            os.eventfd_read(event)
    close([event, unmask])
    assert eventually(lambda: server.descriptors(EVENTFD) == 0)


def test_a_large_bar_takes_no_memory_before_it_is_used(server: Served) -> None:
    with server.client("gpu") as client:
        client.read(0, 0, 4)
        client.write(0, (256 << 20) - 4, b"last")
        assert psutil.Process(server.pid).memory_info().rss < 100 << 20


def test_with_nothing_to_answer_it_sleeps(server: Served) -> None:
    with server.client("gpu") as client:
        client.read(0, 0, 4)
        process = psutil.Process(server.pid)
        before = process.cpu_times()
        time.sleep(1)
        after = process.cpu_times()
        assert after.user + after.system - before.user - before.system < 0.2


def test_a_fork_serves_as_well_and_ends_with_its_context(tmp_path: Path, gpu: FunctionSpec) -> None:
    with forked_server([gpu], run=RunDirectory(tmp_path)):
        with Client(tmp_path / "gpu.sock") as client:
            assert client.read(7, 0, 4) == bytes.fromhex("0210ef67")
        pid = int((tmp_path / "processes").read_text().split()[0])
        assert os.getsid(pid) == pid
    assert not psutil.pid_exists(pid)
    assert not list(tmp_path.glob("*.sock"))
    assert "gpu: connected" in (tmp_path / "devices.log").read_text()


def test_a_fork_that_cannot_start_is_a_lab_fault_that_says_why(tmp_path: Path, gpu: FunctionSpec) -> None:
    (tmp_path / "gpu.sock").mkdir()
    with (
        pytest.raises(LabFault, match=r"did not start\n[\s\S]*gpu\.sock"),
        forked_server([gpu], run=RunDirectory(tmp_path)),
    ):
        pass


def test_a_fork_ends_with_the_process_that_it_is_of(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom pipeline.lab.run_directory import RunDirectory\n"
        "from pipeline.lab.servers import forked_server\n"
        "with forked_server([], run=RunDirectory(Path(sys.argv[1]))):\n    print(flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        served = psutil.Process(int((tmp_path / "processes").read_text().split()[0]))
        parent.kill()
    gone, _ = psutil.wait_procs([served], timeout=10)
    assert gone or served.status() == psutil.STATUS_ZOMBIE


def test_sigterm_ends_it_and_removes_its_sockets(
    tmp_path: Path, gpu: FunctionSpec, audio: FunctionSpec
) -> None:
    with device_server([gpu, audio], run=RunDirectory(tmp_path)) as process:
        with Client(tmp_path / "gpu.sock"):
            assert len(list(tmp_path.glob("*.sock"))) == 2
            process.terminate()
            assert process.wait(60) == 0
        assert not list(tmp_path.glob("*.sock"))


def test_the_end_of_its_input_ends_it(tmp_path: Path, gpu: FunctionSpec) -> None:
    with device_server([gpu], run=RunDirectory(tmp_path)) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0
        assert not list(tmp_path.glob("*.sock"))


def test_a_server_that_cannot_start_is_a_lab_fault_that_says_why(tmp_path: Path, gpu: FunctionSpec) -> None:
    (tmp_path / "gpu.sock").mkdir()
    with (
        pytest.raises(LabFault, match=r"did not start\n.*gpu\.sock"),
        device_server([gpu], run=RunDirectory(tmp_path)),
    ):
        pass


@pytest.mark.parametrize(
    "text", ["", "{}", "[{}]", "[" * 100_000], ids=["empty", "mapping", "no keys", "deep"]
)
def test_functions_that_cannot_be_read_are_one_line(tmp_path: Path, text: str) -> None:
    spec = tmp_path / "functions.json"
    spec.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.lab.device.server", str(spec)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_two_functions_of_one_name_do_not_start(tmp_path: Path, gpu: FunctionSpec) -> None:
    with pytest.raises(LabFault, match="name"), device_server([gpu, gpu], run=RunDirectory(tmp_path)):
        pass
