"""How fast a guest reaches an emulated function through QEMU, counted by a program of some hundred bytes.

It runs on the bare machine (Multiboot, 32-bit protected mode) in place of a kernel and says on a debug port when
a loop of a known number of accesses begins and ends, so that nothing but the accesses is in the time between.
Through the monitor or qtest each access would cost a round trip of its own. Each value that is read in the first
loop is compared: an access that went nowhere ends it.
"""

from __future__ import annotations

import json
import multiprocessing
import select
import signal
import socket
import struct
import time
from dataclasses import dataclass

from pipeline.errors import LabFault
from pipeline.lab.device import protocol, registers
from pipeline.lab.device.emulation import Function
from pipeline.lab.device.function import Bar, BarKind, FunctionSpec
from pipeline.lab.device.protocol import Command
from pipeline.lab.process import child, tail
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.servers import device_server
from pipeline.lab.toolchain import Qemu

READS, MAPPED = 20_000, 20_000_000
METERED = FunctionSpec(
    name="metered",
    vendor_id=0x1002,
    device_id=0x67EF,
    class_code=0xFF0000,
    subsystem_vendor_id=0x148C,
    subsystem_id=0x2385,
    revision=0,
    bars=(Bar(index=0, size=1 << 20, kind=BarKind.MEM32),),
    interrupt_pin=1,
    multifunction=False,
    msi_vectors=1,
)
_SLOT = 3
_SECONDS = 120
_DEBUG_PORT, _EXIT_PORT = 0xE9, 0xF4
_IDENTITY = METERED.device_id << 16 | METERED.vendor_id
_LOAD = 0x100000
# Where the loops begin and end.
_BEGIN, _CONFIG_READ, _BAR_USED, _REGISTER_READ = b"b", b"c", b"m", b"r"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Accesses a second: reads of configuration space, of a mapped BAR (reads and writes), of a register."""

    config: float
    mapped: float
    register: float


def program() -> bytes:
    """The guest: a Multiboot header with load addresses (Multiboot 0.6.96, 3.1) and the code behind it.

    Opcodes: Intel SDM volume 2 (in, out, mov, dec, jcc, cmp).
    """
    address = 0x80000000 | _SLOT << 11
    # mov edx, 0xcf8; mov eax, address; out dx, eax; mov dl, 0xfc; in eax, dx: a type 1 configuration read.
    read = b"\xba\xf8\x0c\0\0" + b"\xb8" + _dword(address) + b"\xef" + b"\xb2\xfc" + b"\xed"
    read_bar = read.replace(_dword(address), _dword(address | 0x10))
    end = b"\x31\xc0" + bytes([0xE7, _EXIT_PORT]) + b"\xf4\xeb\xfd"  # xor eax, eax; out; hlt; jmp back
    after = (
        _say(_CONFIG_READ)
        + read_bar
        + b"\x24\xf0\x89\xc6"  # and al, 0xf0; mov esi, eax
        + _loop(MAPPED, b"\x8b\x06\x89\x06")  # mov eax, [esi]; mov [esi], eax
        + _say(_BAR_USED)
        + _loop(
            READS, b"\x8b\x86" + _dword(METERED.bars[0].size - registers.PAGE_SIZE)
        )  # mov eax, [esi + ...]
        + _say(_REGISTER_READ)
    )
    # cmp eax, identity; je over the five bytes of the way out: jmp over the rest of the loop and what follows.
    checked = read + b"\x3d" + _dword(_IDENTITY) + b"\x74\x05"
    counting = 1 + 6
    checked += b"\xe9" + struct.pack("<i", counting + len(after))
    code = _say(_BEGIN) + _loop(READS, checked) + after + end
    flags = 1 << 16
    magic = 0x1BADB002
    header = struct.pack("<III", magic, flags, -(magic + flags) & 0xFFFFFFFF)
    return header + struct.pack("<IIIII", _LOAD, _LOAD, 0, 0, _LOAD + 32) + code


def _dword(value: int) -> bytes:
    return struct.pack("<I", value)


def _say(letter: bytes) -> bytes:
    return b"\xb0" + letter + bytes([0xE6, _DEBUG_PORT])  # mov al, letter; out port, al


def _loop(count: int, body: bytes) -> bytes:
    # mov ecx, count; body; dec ecx; jnz body
    return b"\xb9" + _dword(count) + body + b"\x49\x0f\x85" + struct.pack("<i", -(len(body) + 1 + 6))


def measure(qemu: Qemu, *, run: RunDirectory) -> Rates:
    """The rates of the real server; raises LabFault where the guest does not get through."""
    with device_server([METERED], run=run):
        return _boot(qemu, run)


def measure_floor(qemu: Qemu, *, run: RunDirectory) -> Rates:
    """The same guest and QEMU, and a server that waits for nothing else and has its one answer ready."""
    listener = socket.socket(socket.AF_UNIX)
    path = run.path / f"{METERED.name}.sock"
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen(1)
    server = multiprocessing.get_context("fork").Process(target=_serve_barely, args=(listener,), daemon=True)
    server.start()
    listener.close()
    try:
        return _boot(qemu, run)
    finally:
        server.terminate()
        server.join(timeout=5)


def _serve_barely(listener: socket.socket) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler would unwind the parent's work
    stream, _ = listener.accept()
    function = Function(METERED, lambda _: None)
    wanted = protocol.request(0, Command.REGION_READ, protocol.access_payload(0, protocol.CONFIG_REGION, 4))
    told = protocol.reply(protocol.header(wanted[:16]), wanted[16:] + _dword(_IDENTITY))
    waiting = select.epoll()
    waiting.register(stream, select.EPOLLIN)
    while waiting.poll() and (data := stream.recv(4096)):
        if data[2:] == wanted[2:]:
            stream.send(data[:2] + told[2:])
            continue
        while data:
            header = protocol.header(data[:16])
            payload = data[16 : header.size]
            answer = protocol.reply(header, function.handle(header.command, payload, []))
            asked = header.command is Command.DEVICE_GET_REGION_INFO
            given = function.handed_out(payload) if asked else None
            if not header.no_reply:
                socket.send_fds(stream, [answer], [] if given is None else [given])
            data = data[header.size :]


def _boot(qemu: Qemu, run: RunDirectory) -> Rates:
    (run.path / "meter.bin").write_bytes(program())
    ours, theirs = socket.socketpair()
    device = {
        "driver": "vfio-user-pci",
        "addr": f"{_SLOT}.0",
        "socket": {"type": "unix", "path": f"{METERED.name}.sock"},
    }
    argv = [
        *qemu.argv,
        *("-machine", "q35,memory-backend=memory,sata=off,smbus=off,i8042=off", "-accel", "tcg,thread=multi"),
        *("-m", "64M", "-object", "memory-backend-memfd,id=memory,size=64M,share=on"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-no-reboot"),
        *("-kernel", "meter.bin", "-device", json.dumps(device)),
        *("-chardev", f"socket,id=debug,fd={theirs.fileno()}"),
        *("-device", f"isa-debugcon,iobase={_DEBUG_PORT:#x},chardev=debug"),
        *("-device", f"isa-debug-exit,iobase={_EXIT_PORT:#x},iosize=4"),
    ]
    with (
        ours,
        child(
            argv,
            run=run,
            name="meter",
            environment=qemu.merged_environment(),
            pass_fds=[theirs.fileno()],
        ),
    ):
        theirs.close()
        ours.settimeout(_SECONDS)
        try:
            times = _listen(ours)
        except TimeoutError:
            times = []
    if len(times) != 4:
        raise LabFault(
            f"the guest that counts accesses did not get through\n{tail(run.path / 'meter.log', 6)}"
        )
    begun, config, mapped, register = times
    return Rates(
        config=READS / (config - begun),
        mapped=2 * MAPPED / (mapped - config),
        register=READS / (register - mapped),
    )


def _listen(stream: socket.socket) -> list[float]:
    times = []
    for expected in (_BEGIN, _CONFIG_READ, _BAR_USED, _REGISTER_READ):
        if stream.recv(1) != expected:
            break
        times.append(time.perf_counter())
    return times
