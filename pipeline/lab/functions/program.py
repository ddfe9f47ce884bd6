"""Runs in L2 as the first program of a small Linux: uses each function's registers and tells what it saw.

It has Python's built-in modules and `mmap`, nothing else. `initramfs` ends its text with a call of `main`.

No kernel of Debian's takes an MSI for a program: they are built without CONFIG_VFIO_NOIOMMU, and
uio_pci_generic knows INTx only. So INTx is counted by uio_pci_generic, and for MSI the program writes the
function's capability itself, with vectors that the kernel has not given out: for each that reaches the processor
the kernel says "No irq handler" with processor and vector (arch/x86/kernel/irq.c; at most ten in five seconds).
"""

import mmap
import os
import select
import sys
import time

PREFIX = "DRYBOOT-FN"
TIMES = 3
_PAGE = 4096
_DEVICES = "/sys/bus/pci/devices"
_UIO = "/sys/bus/pci/drivers/uio_pci_generic"
# Offsets and bits: include/uapi/linux/pci_regs.h.
_COMMAND, _CAPABILITIES, _MSI, _EXPRESS = 0x04, 0x34, 0x05, 0x10
_IO_MEMORY_MASTER, _INTX_OFF = 0x7, 0x400
_FLR_CAPABLE, _START_FLR = 1 << 28, 1 << 15
_IO_FLAG = 0x100
# Where the kernel has given out nothing: it begins at the bottom (arch/x86/include/asm/irq_vectors.h).
_VECTOR = 0xD0
_LOCAL_APIC = 0xFEE00000
# As many functions as raise no more MSI than the kernel tells of in its seconds (DEFAULT_RATELIMIT_BURST, 10).
_AT_ONCE, _KERNEL_SECONDS = 10 // TIMES, 5.5
# Outside every guest of the lab, and below what any IOMMU translates (39 bits).
_NOWHERE = 0x40_0000_0000
_PATTERNS = (0x5A5A5A5A, 0xA5A5A5A5, 0x01234567)

Spec = dict[str, int]


class NoAnswer(Exception):
    """The function did not do something in time."""


class Window:
    """A piece of a BAR. Words are read and written with one access of 32 bits each."""

    def __init__(self, device: str, bar: int, offset: int, size: int) -> None:
        file = os.open(f"{_DEVICES}/{device}/resource{bar}", os.O_RDWR | os.O_SYNC)
        try:
            self._map = mmap.mmap(file, max(size, _PAGE), offset=offset & -_PAGE)
        finally:
            os.close(file)
        self._words = memoryview(self._map).cast("I")
        self._first = offset % _PAGE // 4

    def __getitem__(self, offset: int) -> int:
        return self._words[self._first + offset // 4]

    def __setitem__(self, offset: int, value: int) -> None:
        self._words[self._first + offset // 4] = value


class Config:
    """The configuration space of a function."""

    def __init__(self, device: str) -> None:
        self._file = os.open(f"{_DEVICES}/{device}/config", os.O_RDWR)

    def read(self, offset: int, size: int) -> int:
        """A little-endian number."""
        return int.from_bytes(os.pread(self._file, size, offset), "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a little-endian number."""
        os.pwrite(self._file, value.to_bytes(size, "little"), offset)

    def all(self) -> bytes:
        """What every function has of it, the extended part left out."""
        return os.pread(self._file, 256, 0)

    def capability(self, wanted: int) -> int:
        """Its offset, 0 where there is none."""
        place, left = self.read(_CAPABILITIES, 1), 48
        while place and place != 0xFF and left:
            if self.read(place, 1) == wanted:
                return place
            place, left = self.read(place + 1, 1), left - 1
        return 0


class Log:
    """The kernel's messages that come from now on."""

    def __init__(self) -> None:
        self._file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._file, 0, os.SEEK_END)

    def unhandled(self, vector: int, seconds: float) -> int:
        """How many messages tell of `vector` on the only processor: the first that come within `seconds`."""
        found = 0
        while not found and _readable(self._file, seconds):
            while True:
                try:
                    line = os.read(self._file, 8192).decode(errors="replace")
                    found += "No irq handler" in line and f"0.{vector}" in line
                except BlockingIOError:
                    break
        return found


def _readable(file: int, seconds: float) -> bool:
    return bool(select.select([file], [], [], seconds)[0])


def _text(path: str) -> str:
    with open(path, encoding="ascii") as stream:
        return stream.read().strip()


def _put(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as stream:
        stream.write(text)


class Function:
    """A function under test. `patience` in seconds is how long anything may take."""

    def __init__(self, device: str, spec: Spec, registers: dict[str, int], patience: float) -> None:
        self.device, self._r, self._patience = device, registers, patience
        self.config = Config(device)
        # A driver that the kernel has built in and that goes by the class.
        if os.path.exists(f"{_DEVICES}/{device}/driver"):
            _put(f"{_DEVICES}/{device}/driver/unbind", device)
        self.config.write(_COMMAND, 2, _IO_MEMORY_MASTER | _INTX_OFF)
        self._spec = spec
        self._page = Window(device, spec["bar"], spec["offset"], _PAGE) if spec["bar"] >= 0 else None

    def _turn_on(self) -> "Window":
        if self._page is None:
            raise NoAnswer("has no register page")
        self._page[self._r["MAGIC"]] = self._r["TURN_ON"]
        if self._page[self._r["MAGIC"]] != self._r["IS_ON"]:
            raise NoAnswer("its registers do not answer")
        return self._page

    def bars(self) -> "list[str]":
        """Write words at the start, in the middle and at the end of each BAR, then read all of them."""
        if self._page is not None:
            self._page[self._r["MAGIC"]] = 0
        places = []
        for index, line in enumerate(_text(f"{_DEVICES}/{self.device}/resource").splitlines()[:6]):
            start, end, flags = (int(number, 16) for number in line.split())
            size = end - start + 1
            if end and not flags & _IO_FLAG:
                last = self._spec["offset"] if index == self._spec["bar"] else size
                for offset in sorted({0, last // 2 & -4, max(last - 4, 0)}):
                    window = Window(self.device, index, offset & -_PAGE, _PAGE)
                    places.append((index, offset, window, offset % _PAGE))
        wrong, first = 0, ""
        for pattern in _PATTERNS:
            for number, (_, _, window, at) in enumerate(places):
                window[at] = pattern ^ number
            for number, (index, offset, window, at) in enumerate(places):
                wanted, seen = pattern ^ number, window[at]
                if seen != wanted:
                    wrong += 1
                    first = first or f"bar={index} offset={offset:#x} wrote={wanted:#x} read={seen:#x}"
        bars = len({index for index, *_ in places})
        return [f"bars bars={bars} words={len(places) * len(_PATTERNS)} wrong={wrong} {first}"]

    def intx(self) -> "list[str]":
        """Raise INTx; uio_pci_generic masks it in the command register and counts."""
        if not self.config.read(0x3D, 1):
            return ["intx none=1"]
        page = self._turn_on()
        _put(f"{_DEVICES}/{self.device}/driver_override", "uio_pci_generic")
        _put(f"{_UIO}/bind", self.device)
        name = os.listdir(f"{_DEVICES}/{self.device}/uio")[0]
        file = os.open(f"/dev/{name}", os.O_RDONLY)
        raised = seen = 0
        try:
            self.config.write(_COMMAND, 2, _IO_MEMORY_MASTER)
            while raised < TIMES and seen == raised:
                raised += 1
                page[self._r["RAISE"]] = self._r["RAISE_INTX"]
                if _readable(file, self._patience):
                    seen = int.from_bytes(os.read(file, 4), "little")
                page[self._r["ACK"]] = 1
                self.config.write(_COMMAND, 2, _IO_MEMORY_MASTER)
            # One more is one that nobody asked for.
            if seen == raised and _readable(file, 0.2):
                seen = int.from_bytes(os.read(file, 4), "little")
            asked = page[self._r["INTX_RAISED"]]
        finally:
            os.close(file)
            _put(f"{_UIO}/unbind", self.device)
            self.config.write(_COMMAND, 2, _IO_MEMORY_MASTER | _INTX_OFF)
        return [f"intx raised={raised} seen={seen} asked={asked}"]

    def msi(self) -> "list[str]":
        """Raise MSI vectors that the kernel has not given out, and count what it says of them."""
        place = self.config.capability(_MSI)
        if not place:
            return ["msi none=1"]
        page = self._turn_on()
        control = self.config.read(place + 2, 2)
        count = 1 << (control >> 1 & 7)
        self.config.write(place + 4, 4, _LOCAL_APIC)
        if control & 0x80:
            self.config.write(place + 8, 4, 0)
        self.config.write(place + (12 if control & 0x80 else 8), 2, _VECTOR)
        enabled = control & ~0x70 | (control >> 1 & 7) << 4 | 1
        log = Log()
        raised = seen = 0
        try:
            self.config.write(place + 2, 2, enabled)
            while raised < TIMES and seen == raised:
                vector = raised % count
                raised += 1
                page[self._r["RAISE"]] = self._r["RAISE_MSI"] | vector
                seen += log.unhandled(_VECTOR + vector, self._patience)
            asked = page[self._r["MSI_RAISED"]]
        finally:
            self.config.write(place + 2, 2, control & ~0x71)
        return [f"msi raised={raised} seen={seen} asked={asked} vectors={count}"]

    def _transfer(self, address: int, length: int, command: int) -> int:
        page = self._turn_on()
        page[self._r["DMA_ADDRESS"]] = address & 0xFFFFFFFF
        page[self._r["DMA_ADDRESS"] + 4] = address >> 32
        page[self._r["DMA_LENGTH"]] = length
        page[self._r["DMA_COMMAND"]] = command
        deadline = time.monotonic() + self._patience
        while (status := page[self._r["DMA_STATUS"]]) == self._r["DMA_NOTHING"]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        return status

    def dma(self) -> "list[str]":
        """Have a page of this program read, and another one written."""
        page, size = self._turn_on(), self._r["DMA_BUFFER_SIZE"]
        buffer = [self._r["DMA_BUFFER"] + 4 * number for number in range(size // 4)]
        memory, address = _own_page()
        data = bytes((7 * place + (place >> 8)) & 0xFF for place in range(size))
        for at in buffer:
            page[at] = 0
        memory[:size] = data
        status = self._transfer(address, size, self._r["DMA_FROM_GUEST"])
        read = b"".join(page[at].to_bytes(4, "little") for at in buffer)
        lines = [f"dma-read status={status} length={size} differs={_differs(data, read)}"]
        turned = bytes(byte ^ 0xFF for byte in data)
        for number, at in enumerate(buffer):
            page[at] = int.from_bytes(turned[4 * number : 4 * number + 4], "little")
        memory[:] = bytes(_PAGE)
        status = self._transfer(address, size, self._r["DMA_TO_GUEST"])
        wanted = turned + bytes(_PAGE - size)
        lines.append(f"dma-write status={status} length={size} differs={_differs(wanted, memory[:])}")
        return lines

    def blocked(self) -> "list[str]":
        """Ask for DMA where the guest has no memory."""
        lines = []
        for name, command in (("read", "DMA_FROM_GUEST"), ("write", "DMA_TO_GUEST")):
            before = self._turn_on()[self._r["DMA_REFUSED"]]
            status = self._transfer(_NOWHERE, 64, self._r[command])
            refused = self._turn_on()[self._r["DMA_REFUSED"]] - before
            lines.append(f"blocked-{name} status={status} refused={refused} address={_NOWHERE:#x}")
        return lines

    def reset(self) -> "list[str]":
        """Start a function level reset, and look whether the function is there again, and as new."""
        place = self.config.capability(_EXPRESS)
        if not place or not self.config.read(place + 4, 4) & _FLR_CAPABLE:
            return ["reset none=1"]
        page = self._turn_on()
        page[self._r["SCRATCH"]] = 0x5EED
        before = page[self._r["SCRATCH"]]
        saved = self.config.all()
        self.config.write(place + 8, 2, self.config.read(place + 8, 2) | _START_FLR)
        # A function has 100 ms for it (PCI Express 4.0, 6.6.2).
        deadline = time.monotonic() + self._patience
        time.sleep(0.2)
        while (ids := self.config.read(0, 4)) == 0xFFFFFFFF and time.monotonic() < deadline:
            time.sleep(0.2)
        if ids != int.from_bytes(saved[:4], "little"):
            return [f"reset ids={ids:#x}"]
        for at, width in (*((at, 4) for at in range(0x10, 0x28, 4)), (0x0C, 1), (0x3C, 1), (_COMMAND, 2)):
            self.config.write(at, width, int.from_bytes(saved[at : at + width], "little"))
        differs = _differs(saved, self.config.all())
        on = int(page[self._r["MAGIC"]] == self._r["IS_ON"])
        after = self._turn_on()[self._r["SCRATCH"]]
        return [f"reset ids={ids:#x} differs={differs} on={on} before={before:#x} after={after:#x}"]


def _differs(wanted: bytes, seen: bytes) -> int:
    """The first byte that is not the same, -1 where all are."""
    return next((place for place, (a, b) in enumerate(zip(wanted, seen, strict=True)) if a != b), -1)


def _own_page() -> "tuple[mmap.mmap, int]":
    """A page of memory and where it lies for a device (proc_pid_maps(5), proc_pid_pagemap(5))."""
    memory = mmap.mmap(-1, _PAGE)
    memory[:] = bytes(_PAGE)
    # Shared memory that is no file's: nothing else in this program is.
    lines = [line for line in _text("/proc/self/maps").splitlines() if "/dev/zero" in line]
    start = int(lines[0].partition("-")[0], 16)
    file = os.open("/proc/self/pagemap", os.O_RDONLY)
    entry = int.from_bytes(os.pread(file, 8, start // _PAGE * 8), "little")
    os.close(file)
    return memory, (entry & (1 << 55) - 1) * _PAGE


def find(spec: Spec) -> str:
    """The address of the function with the ids and the function number of `spec`, empty where it is not there."""
    for device in sorted(os.listdir(_DEVICES)):
        ids = tuple(int(_text(f"{_DEVICES}/{device}/{name}"), 16) for name in ("vendor", "device"))
        if (*ids, int(device[-1])) == (spec["vendor"], spec["device"], spec["function"]):
            return device
    return ""


def main(specs: "list[Spec]", registers: dict[str, int], patience: float) -> None:
    """Test one function after the other, each test by itself, and power off."""
    _say("begin")
    for number, spec in enumerate(specs):
        if number and number % _AT_ONCE == 0:
            time.sleep(_KERNEL_SECONDS)
        device = find(spec)
        if not device:
            _say(f"{number} absent")
            continue
        _say(f"{number} found at={device}")
        try:
            function = Function(device, spec, registers, patience)
            tests = (
                function.bars,
                function.intx,
                function.msi,
                function.dma,
                function.blocked,
                function.reset,
            )
        except (OSError, ValueError) as error:
            _say(f"{number} error test=open {error}")
            continue
        for test in tests:
            try:
                for line in test():
                    _say(f"{number} {line}")
            except (NoAnswer, OSError, ValueError, IndexError) as error:
                _say(f"{number} error test={test.__name__} {error}")
    _say("end")
    _put("/proc/sysrq-trigger", "o")
    time.sleep(3600)


def _say(line: str) -> None:
    sys.stdout.write(f"{PREFIX} {line}\n")
    sys.stdout.flush()
