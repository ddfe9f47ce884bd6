from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.fingerprint.memory_map import ranges, read
from pipeline.fingerprint.sighting import Sighting

TEXT = """FlatView #0
 AS "cpu-smm-0", root: memory
 Root memory region: memory
  0000000000000000-0000000000ffffff (prio 0, ram): not this one

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-00000000000bffff (prio 0, ram): pc.ram KVM
  0000000000100000-000000007fffffff (prio 0, ram): pc.ram @0000000000100000 KVM
  0000000080000000-0000000080000fff (prio 1, i/o): e1000e-mmio
  00000000fed00000-00000000fed003ff (prio 0, i/o): hpet
  00000000fee00000-00000000feefffff (prio 4096, i/o): apic-msi
  0000000100000000-000000027fffffff (prio 0, ram): pc.ram @0000000080000000 KVM

FlatView #2
 AS "I/O", root: io
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan
"""


def seen(text: str, address: int = 0x80000000, size: int = 0x2000) -> Sighting:
    region = {"bar": 0, "type": "memory", "address": address, "size": size}
    device = {"bus": 0, "slot": 3, "function": 0, "regions": [region]}
    return Sighting(qmp={"query-pci": [{"devices": [device]}]}, hmp={"info mtree -f": text}, serial="")


def test_ram_and_fixed_windows_and_nothing_inside_a_bar() -> None:
    assert read(seen(TEXT)).facts == {
        "memory-map/RAM below 4 GiB up to": "0x80000000",
        "memory-map/RAM above 4 GiB": "0x100000000 6 GiB",
        "memory-map/hpet": "0xfed00000 1 KiB i/o",
        "memory-map/apic-msi": "0xfee00000 1 MiB i/o",
    }


def test_a_window_beside_the_bars_is_a_fact() -> None:
    assert read(seen(TEXT, 0x90000000)).facts["memory-map/e1000e-mmio"] == "0x80000000 4 KiB i/o"


def test_a_bar_that_has_no_address_hides_nothing() -> None:
    assert "memory-map/hpet" in read(seen(TEXT, -1, 1 << 40)).facts


@given(st.text(max_size=80), st.integers(0, 900))
def test_any_text_is_read(text: str, cut: int) -> None:
    for one in ranges(TEXT[:cut] + text + TEXT[cut:]):
        assert one.start >= 0
        assert "\n" not in one.name
