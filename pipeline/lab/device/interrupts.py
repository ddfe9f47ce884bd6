"""The interrupts of an emulated function: the descriptors that carry them, and the state of the INTx line.

INTx is a level that masks itself when it is signalled, as the VFIO device of a kernel has it: who takes it
unmasks it when it has been served, and is signalled again where the line is still asserted (linux/vfio.h
VFIO_IRQ_INFO_AUTOMASKED, drivers/vfio/pci/vfio_pci_intrs.c).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.lab.device.protocol import ProtocolError, SetIrqs

INTX, MSI = 0, 1
_ONE = (1).to_bytes(8, sys.byteorder)

Watch = Callable[[int, Callable[[], None] | None], None]


class Interrupts:
    """`counts`: how many there are by index. `watch`: calls back when a descriptor can be read, until it gets None.

    `disabled`: whether the command register keeps INTx from being signalled.
    """

    def __init__(self, counts: dict[int, int], watch: Watch, disabled: Callable[[], bool]) -> None:
        self._counts = counts
        self._watch = watch
        self._disabled = disabled
        self._events: dict[tuple[int, int], int] = {}
        self._unmask_event: int | None = None
        self._masked = False
        self.asserted = False

    def count(self, index: int) -> int:
        """How many interrupts an index has."""
        return self._counts.get(index, 0)

    def assert_intx(self) -> None:
        """Assert the line; it stays so."""
        self.asserted = True
        self.update()

    def deassert_intx(self) -> None:
        """Let go of the line."""
        self.asserted = False

    def send_msi(self, vector: int) -> None:
        """Send a message where the client has asked for it."""
        self._signal((MSI, vector))

    def update(self) -> None:
        """Signal INTx if it is asserted and nothing keeps it back."""
        if self.asserted and not self._masked and not self._disabled() and (INTX, 0) in self._events:
            self._masked = True
            self._signal((INTX, 0))

    def set(self, what: SetIrqs, fds: list[int]) -> None:
        """Do what a SET_IRQS asks for; it takes from `fds` what it keeps.

        Raises ProtocolError for an interrupt that is not there, ValueError for a descriptor that is no eventfd.
        """
        if what.start + what.count > max(self.count(what.index), 1):
            raise ProtocolError(f"interrupt {what.start}+{what.count} of index {what.index} is not there")
        if any(not _is_eventfd(fd) for fd in fds):
            raise ValueError("an interrupt goes to an eventfd")
        if what.triggers:
            self._set_trigger(what, fds)
        elif what.index == INTX and what.count:
            self._set_mask(what, fds)

    def drop(self) -> None:
        """Forget the client's descriptors."""
        self._drop(lambda _: True)
        self._drop_unmask()
        self._masked = False

    def _set_trigger(self, what: SetIrqs, fds: list[int]) -> None:
        wanted = [(what.index, what.start + number) for number in range(what.count)]
        if not what.events:
            if not what.count:
                self._drop(lambda key: key[0] == what.index)
                if what.index == INTX:
                    self._drop_unmask()
            # By hand: VFIO_IRQ_SET_ACTION_TRIGGER without an eventfd.
            for number in what.chosen:
                self._signal((what.index, number))
            return
        self._drop(lambda key: key in wanted)
        self._events.update(zip(wanted, fds, strict=False))
        fds.clear()
        if what.index == INTX:
            self._masked = False
            self.update()

    def _set_mask(self, what: SetIrqs, fds: list[int]) -> None:
        if what.masks:
            self._masked = self._masked or (bool(what.chosen) and not what.events)
        elif not what.events:
            if what.chosen:
                self._unmask()
        else:
            # KVM tells by it that the interrupt was served (QEMU hw/vfio/pci.c vfio_intx_enable_kvm()).
            self._drop_unmask()
            if fds:
                self._watch(fds[0], self._heard_unmask)
                self._unmask_event = fds.pop(0)

    def _heard_unmask(self) -> None:
        assert self._unmask_event is not None
        with contextlib.suppress(BlockingIOError):
            os.read(self._unmask_event, 8)
            self._unmask()

    def _unmask(self) -> None:
        self._masked = False
        self.update()

    def _drop_unmask(self) -> None:
        if self._unmask_event is not None:
            self._watch(self._unmask_event, None)
            os.close(self._unmask_event)
            self._unmask_event = None

    def _signal(self, key: tuple[int, int]) -> None:
        if key in self._events:
            # A full one is not waited for.
            with contextlib.suppress(BlockingIOError):
                os.write(self._events[key], _ONE)

    def _drop(self, which: Callable[[tuple[int, int]], bool]) -> None:
        for key in [key for key in self._events if which(key)]:
            os.close(self._events.pop(key))


def _is_eventfd(fd: int) -> bool:
    """Whether it is one; it never blocks from then on, as QEMU's never do (util/event_notifier-posix.c)."""
    if str(Path(f"/proc/self/fd/{fd}").readlink()) != "anon_inode:[eventfd]":
        return False
    os.set_blocking(fd, False)
    return True
