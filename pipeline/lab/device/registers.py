"""The test registers of an emulated function: where they are and what they mean; imports nothing of its own.

They are the last page of the function's memory BAR with the highest index; a function without one, or where
that one is smaller than a page, has none. Registers are little endian and 32 bits wide, and are written whole and
aligned (`DMA_ADDRESS` has 64 bits and takes two writes or one); any width reads them. Until `MAGIC` is written
the page is memory as the rest of the BAR, so that a driver never meets it; a reset of any kind, and a new
client, turn it off again and set everything in it to zero.

A program turns the page on, reads `MAGIC` back, and then:

* INTx: write `RAISE_INTX` to `RAISE`; in the handler, write anything to `ACK`. The line stays asserted until
  then: an interrupt that is unmasked without it comes at once again. The status register of configuration
  space shows it (bit 3), and the command register disables it (bit 10).
* MSI: write `RAISE_MSI | vector` to `RAISE`, with MSI enabled in configuration space.
* DMA: turn bus mastering on in the command register (bit 2), as for MSI, else a transfer is refused. Then
  write `DMA_ADDRESS`, `DMA_LENGTH` and a command to `DMA_COMMAND`, and poll `DMA_STATUS` until it is not
  `DMA_NOTHING`: a transfer to what no mapping covers waits for the client's answer. It is between the start of
  the buffer and the guest's memory. A command while one waits is refused and leaves that alone.
"""

from __future__ import annotations

from collections.abc import Mapping

PAGE_SIZE = 0x1000

MAGIC = 0x00
VERSION = 0x04
RAISE = 0x08
ACK = 0x0C
INTX_RAISED = 0x10
MSI_RAISED = 0x14
DMA_ADDRESS = 0x18
DMA_LENGTH = 0x20
DMA_COMMAND = 0x24
DMA_STATUS = 0x28
DMA_REFUSED = 0x2C
SCRATCH = 0x30
DMA_BUFFER = 0x800

DMA_BUFFER_SIZE = PAGE_SIZE - DMA_BUFFER

# MAGIC: what turns the page on (any other value off), and what it then reads.
TURN_ON = 0x44425954
IS_ON = 0x59544244
# VERSION reads this.
THIS_VERSION = 1
# RAISE
RAISE_INTX = 0x1
RAISE_MSI = 0x100
# DMA_COMMAND: guest memory to buffer, buffer to guest memory.
DMA_FROM_GUEST = 1
DMA_TO_GUEST = 2
# DMA_STATUS
DMA_NOTHING = 0
DMA_DONE = 1
DMA_WAS_REFUSED = 2


def place(memory_bars: Mapping[int, int]) -> tuple[int, int] | None:
    """The index of the BAR that has the page and the page's offset in it, None where there is none.

    `memory_bars`: sizes in bytes by index, I/O BARs left out.
    """
    if not memory_bars:
        return None
    index = max(memory_bars)
    size = memory_bars[index]
    return (index, size - PAGE_SIZE) if size >= PAGE_SIZE else None
