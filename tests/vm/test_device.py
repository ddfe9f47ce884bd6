"""An emulated function as QEMU's vfio-user-pci gives it to a guest: interrupts, DMA, BARs, resets, speed."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.errors import LabFault
from pipeline.lab import meter, toolchain
from pipeline.lab.device import registers
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.servers import device_server
from pipeline.lab.toolchain import Qemu
from tests.qtest import BAR, SLOT, Guest, Page, machine

pytestmark = pytest.mark.vm

MASTER_AND_MEMORY = 0x6
MSI = 0xA0
# A device of QEMU's own whose second BAR is memory that has no descriptor: only the client can get there.
PEER_SLOT, PEER = 5, 0xE3000000
PEER_DEVICE = (
    *("-object", "memory-backend-ram,id=peer,size=1M"),
    *("-device", f"ivshmem-plain,memdev=peer,addr={PEER_SLOT}.0"),
)


@pytest.fixture(scope="module")
def qemu() -> Qemu:
    return toolchain.find(lambda _: None)


@dataclass
class Bench:
    guest: Guest
    page: Page
    run: RunDirectory

    def eventually(self, holds: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 10
        while not holds():
            if time.monotonic() > deadline:
                return False
            # Anything asked brings the interrupts that have come.
            self.guest.read(0)
        return True

    def resets(self) -> int:
        return (self.run.path / "devices.log").read_text().count("reset")


@contextlib.contextmanager
def bench(qemu: Qemu, path: Path, *broken: str, more: Sequence[str] = ()) -> Iterator[Bench]:
    run = RunDirectory(path)
    spec = dataclasses.replace(meter.METERED, broken=frozenset(broken))
    with device_server([spec], run=run), machine(qemu, spec.name, run=run, more=more) as guest:
        guest.configure(0x10, BAR)
        guest.configure(0x04, MASTER_AND_MEMORY)
        page = Page(guest, BAR + spec.bars[0].size - registers.PAGE_SIZE)
        page.turn_on()
        yield Bench(guest, page, run)


def test_a_bar_is_memory_and_its_page_is_registers(qemu: Qemu, tmp_path: Path) -> None:
    with bench(qemu, tmp_path) as one:
        assert one.page.read(registers.MAGIC) == registers.IS_ON
        one.guest.write(BAR + 0x40, 0x12345678)
        assert one.guest.read(BAR + 0x40) == 0x12345678


def test_dma_reaches_the_guest_s_memory_and_comes_back(qemu: Qemu, tmp_path: Path) -> None:
    with bench(qemu, tmp_path) as one:
        one.guest.put(0x100000, bytes(range(64)))
        assert one.page.dma(registers.DMA_FROM_GUEST, 0x100000, 64) == registers.DMA_DONE
        assert one.guest.get(one.page.start + registers.DMA_BUFFER, 64) == bytes(range(64))
        assert one.page.dma(registers.DMA_TO_GUEST, 0x200010, 32) == registers.DMA_DONE
        assert one.guest.get(0x200000, 64) == bytes(16) + bytes(range(32)) + bytes(16)


def test_dma_to_where_nothing_is_is_refused_by_qemu(qemu: Qemu, tmp_path: Path) -> None:
    with bench(qemu, tmp_path) as one:
        for number, command in enumerate((registers.DMA_FROM_GUEST, registers.DMA_TO_GUEST), 1):
            assert one.page.dma(command, 0xD0000000000, 16) == registers.DMA_WAS_REFUSED
            assert one.page.read(registers.DMA_REFUSED) == number


def test_dma_that_only_the_client_can_do_is_done_by_it(qemu: Qemu, tmp_path: Path) -> None:
    with bench(qemu, tmp_path, more=PEER_DEVICE) as one:
        one.guest.configure(0x18, PEER, slot=PEER_SLOT)
        one.guest.configure(0x1C, 0, slot=PEER_SLOT)
        one.guest.configure(0x04, MASTER_AND_MEMORY, slot=PEER_SLOT)
        one.guest.put(PEER, b"in the peer's memory")
        assert one.page.dma(registers.DMA_FROM_GUEST, PEER, 20) == registers.DMA_DONE
        assert one.guest.get(one.page.start + registers.DMA_BUFFER, 24) == b"in the peer's memory" + bytes(4)
        assert one.page.dma(registers.DMA_TO_GUEST, PEER + 0x100, 6) == registers.DMA_DONE
        assert one.guest.get(PEER + 0xFF, 8) == b"\0in the\0"


class AmdIommu:
    """QEMU's amd-iommu, as an operating system programs it (AMD I/O Virtualization Technology Specification).

    One page of I/O addresses is mapped for the function in slot 3.
    """

    ARGUMENTS = (
        *("-device", "AMDVI-PCI,id=iommu,addr=1c.0"),
        *("-device", "amd-iommu,intremap=on,dma-remap=on,pci-id=iommu"),
    )
    MAPPED, BEHIND = 0x40000000, 0x200000
    _REGISTERS, _FUNCTION, _DOMAIN = 0xFED80000, SLOT << 3, 5
    _DEVICES, _COMMANDS, _EVENTS, _TABLES = 0x1000000, 0x1010000, 0x1011000, (0x1020000, 0x1021000, 0x1022000)
    _PRESENT, _READ_AND_WRITE = 1, 3 << 61

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._sent = 0
        first, second, third = self._TABLES
        self._entry(first + 8, second, 2)
        self._entry(second, third, 1)
        self._entry(third, self.BEHIND, 0)
        entry = self._DEVICES + 32 * self._FUNCTION
        guest.write_long(entry, first | 0b11 | 3 << 9 | self._READ_AND_WRITE)
        guest.write_long(entry + 8, self._DOMAIN)
        # The tables of devices (8 KiB), commands and events (256 entries each); then all of it on.
        for register, value in (
            (0x00, self._DEVICES | 1),
            (0x08, self._COMMANDS | 8 << 56),
            (0x10, self._EVENTS | 8 << 56),
            (0x18, 1 | 1 << 2 | 1 << 12),
        ):
            guest.write_long(self._REGISTERS + register, value)
        self._command(2 << 60 | self._FUNCTION, 0)
        self._invalidate_pages()

    def unmap(self) -> None:
        """Take the page away."""
        self._guest.write_long(self._TABLES[2], 0)
        self._invalidate_pages()

    def faults(self) -> list[tuple[int, int]]:
        """What was logged: the kind of event (2: a page fault), the function."""
        count = self._guest.read_long(self._REGISTERS + 0x2018) // 16
        events = [self._guest.read_long(self._EVENTS + 16 * number) for number in range(count)]
        return [(event >> 60, event & 0xFFFF) for event in events]

    def _entry(self, place: int, target: int, level: int) -> None:
        self._guest.write_long(place, target | self._PRESENT | level << 9 | self._READ_AND_WRITE)

    def _invalidate_pages(self) -> None:
        self._command(3 << 60 | self._DOMAIN << 32, 0x7FFFFFFFFFFFF003)

    def _command(self, low: int, high: int) -> None:
        self._guest.write_long(self._COMMANDS + 16 * self._sent, low)
        self._guest.write_long(self._COMMANDS + 16 * self._sent + 8, high)
        self._sent += 1
        self._guest.write_long(self._REGISTERS + 0x2008, 16 * self._sent)


def test_the_iommu_lets_dma_through_where_it_maps_and_logs_the_rest(qemu: Qemu, tmp_path: Path) -> None:
    with bench(qemu, tmp_path, more=AmdIommu.ARGUMENTS) as one:
        iommu = AmdIommu(one.guest)
        one.guest.put(iommu.BEHIND, b"behind the iommu")
        assert one.page.dma(registers.DMA_FROM_GUEST, iommu.MAPPED, 16) == registers.DMA_DONE
        assert one.guest.get(one.page.start + registers.DMA_BUFFER, 16) == b"behind the iommu"
        assert iommu.faults() == []
        # Memory that is there, by an address that the function was not given.
        assert one.page.dma(registers.DMA_TO_GUEST, iommu.BEHIND, 16) == registers.DMA_WAS_REFUSED
        assert set(iommu.faults()) == {(2, SLOT << 3)}
        before = len(iommu.faults())
        iommu.unmap()
        assert one.page.dma(registers.DMA_FROM_GUEST, iommu.MAPPED, 16) == registers.DMA_WAS_REFUSED
        assert len(iommu.faults()) > before


def enable_msi(guest: Guest, address: int, data: int) -> None:
    guest.configure(MSI + 4, address)
    guest.configure(MSI + 8, 0)
    guest.configure(MSI + 12, data)
    guest.configure(MSI, guest.config(MSI) | 1 << 16)


def test_an_msi_is_written_where_the_guest_said(qemu: Qemu, tmp_path: Path) -> None:
    with bench(qemu, tmp_path) as one:
        enable_msi(one.guest, 0x300000, 0xBEEF)
        assert one.guest.read(0x300000) == 0
        one.page.write(registers.RAISE, registers.RAISE_MSI)
        assert one.eventually(lambda: one.guest.read(0x300000) == 0xBEEF)
        assert one.page.read(registers.MSI_RAISED) == 1


def test_intx_stays_until_it_is_acknowledged(qemu: Qemu, tmp_path: Path) -> None:
    with bench(qemu, tmp_path) as one:
        one.guest.command("irq_intercept_in ioapic")
        one.page.write(registers.RAISE, registers.RAISE_INTX)
        assert one.eventually(lambda: len(one.guest.interrupts) == 1)
        (first,) = one.guest.interrupts
        assert "raise" in first
        assert one.guest.config(0x04) >> 16 & 8
        # Each access to the BAR that is not mapped is the end of the interrupt to QEMU, and then it comes again.
        one.page.read(registers.INTX_RAISED)
        assert one.eventually(lambda: one.guest.interrupts == [first, first.replace("raise", "lower"), first])
        one.page.write(registers.ACK, 0)
        assert one.eventually(lambda: "lower" in one.guest.interrupts[-1])
        count = len(one.guest.interrupts)
        one.page.read(registers.INTX_RAISED)
        assert len(one.guest.interrupts) == count
        assert not one.guest.config(0x04) >> 16 & 8


def test_a_function_level_reset_clears_what_the_guest_sees(qemu: Qemu, tmp_path: Path) -> None:
    with bench(qemu, tmp_path) as one:
        one.guest.write(BAR + 0x40, 0x12345678)
        before = one.resets()
        control = one.guest.config(0x60)
        one.guest.configure(0x60, control & 0xFFFF | 0x8000)
        assert one.resets() == before + 1
        one.guest.configure(0x10, BAR)
        one.guest.configure(0x04, MASTER_AND_MEMORY)
        assert one.guest.read(BAR + 0x40) == 0
        assert one.page.read(registers.MAGIC) == 0


def no_intx(one: Bench) -> bool:
    one.guest.command("irq_intercept_in ioapic")
    one.page.write(registers.RAISE, registers.RAISE_INTX)
    time.sleep(0.3)
    one.guest.read(0)
    return not one.guest.interrupts


def no_msi(one: Bench) -> bool:
    enable_msi(one.guest, 0x300000, 0xBEEF)
    one.page.write(registers.RAISE, registers.RAISE_MSI)
    time.sleep(0.3)
    return one.guest.read(0x300000) == 0


def dma_wrong_address(one: Bench) -> bool:
    one.guest.put(0x100000, b"right")
    one.page.dma(registers.DMA_FROM_GUEST, 0x100000, 5)
    return one.guest.get(one.page.start + registers.DMA_BUFFER, 5) != b"right"


def ignores_blocked_dma(one: Bench) -> bool:
    return one.page.dma(registers.DMA_FROM_GUEST, 0xD0000000000, 16) == registers.DMA_DONE


def bar_stuck(one: Bench) -> bool:
    one.guest.write(BAR + 0x40, 0x12345678)
    return one.guest.read(BAR + 0x40) == 0


def lost_after_reset(one: Bench) -> bool:
    there = one.guest.config(0) == 0x67EF1002
    one.guest.configure(0x60, one.guest.config(0x60) & 0xFFFF | 0x8000)
    return there and one.guest.config(0) == 0xFFFFFFFF


DEFECTS: dict[str, Callable[[Bench], bool]] = {
    "no-intx": no_intx,
    "no-msi": no_msi,
    "dma-wrong-address": dma_wrong_address,
    "ignores-blocked-dma": ignores_blocked_dma,
    "bar-stuck": bar_stuck,
    "lost-after-reset": lost_after_reset,
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_seen_through_qemu(qemu: Qemu, tmp_path: Path, defect: str) -> None:
    with bench(qemu, tmp_path, defect) as one:
        assert DEFECTS[defect](one)
    whole = tmp_path / "whole"
    whole.mkdir()
    with bench(qemu, whole) as one:
        assert not DEFECTS[defect](one), "and only with it"


def test_accesses_are_counted_and_those_to_a_mapped_bar_cost_no_message(qemu: Qemu, tmp_path: Path) -> None:
    """How many there are is for `bench` to measure; a message each would be some ten thousand."""
    ours = meter.measure(qemu, run=RunDirectory(tmp_path))
    assert ours.config > 0
    assert ours.register > 0
    assert ours.mapped > 100 * ours.register


def test_accesses_that_go_nowhere_are_not_counted(
    qemu: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(meter.METERED, device_id=0x67FF)
    monkeypatch.setattr(meter, "METERED", other)
    with pytest.raises(LabFault, match="did not get through"):
        meter.measure(qemu, run=RunDirectory(tmp_path))
