from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.fingerprint.devices import read
from pipeline.fingerprint.qtree import devices, named
from pipeline.fingerprint.sighting import Sighting

TEXT = """bus: main-system-bus
  type System
  dev: ioapic, id ""
    gpio-in "" 24
    version = 32 (0x20)
    mmio 00000000fec00000/0000000000001000
  dev: q35-pcihost, id ""
    x-pci-hole64-fix = true
    bus: pcie.0
      type PCIE
      dev: pcie-root-port, id "pci.1"
        x-speed = "16"
        romfile = "/some/where/rom = 1"
        addr = 01.0
        class PCI bridge, addr 00:01.0, pci id 1b36:000c (sub 0000:0000)
        bar 0: mem at 0x80a41000 [0x80a41fff]
        bus: pci.1
          type PCIE
          dev: virtio-blk-pci, id "virtio-disk0"
            class = 0 (0x0)
            class SCSI controller, addr 01:00.0, pci id 1af4:1042 (sub 1af4:1100)
            bus: virtio-bus
              type virtio-pci-bus
              dev: virtio-blk-device, id ""
                drive = "d0"
                serial = ""
      dev: ICH9-LPC, id ""
        smm-compat = false
        class ISA bridge, addr 00:1f.0, pci id 8086:2918 (sub 1af4:1100)
        bus: isa.0
          type ISA
          dev: isa-i8259, id ""
            iobase = 160 (0xa0)
          dev: isa-i8259, id ""
            iobase = 32 (0x20)
"""


def facts(text: str) -> dict[str, str]:
    return dict(read(Sighting(qmp={}, hmp={"info qtree": text}, serial="")).facts)


def test_devices_are_named_by_what_does_not_change() -> None:
    assert facts(TEXT) == {
        "devices/ioapic": "ioapic",
        "devices/ioapic/version": "32",
        "devices/q35-pcihost": "q35-pcihost",
        "devices/q35-pcihost/x-pci-hole64-fix": "true",
        "devices/00:01.0": "pcie-root-port",
        "devices/00:01.0/x-speed": "16",
        "devices/01:00.0": "virtio-blk-pci",
        "devices/01:00.0/class": "0",
        "devices/01:00.0/virtio-blk-device": "virtio-blk-device",
        "devices/01:00.0/virtio-blk-device/serial": "empty",
        "devices/00:1f.0": "ICH9-LPC",
        "devices/00:1f.0/smm-compat": "false",
        "devices/00:1f.0/isa-i8259@160": "isa-i8259",
        "devices/00:1f.0/isa-i8259@160/iobase": "160",
        "devices/00:1f.0/isa-i8259@32": "isa-i8259",
        "devices/00:1f.0/isa-i8259@32/iobase": "32",
    }


def test_the_order_of_the_devices_does_not_matter() -> None:
    head, first, second = TEXT.partition('      dev: ICH9-LPC, id ""\n')
    begin, port, rest = head.partition('      dev: pcie-root-port, id "pci.1"\n')
    other = begin + first + second + port + rest
    assert other != TEXT
    assert facts(other) == facts(TEXT)


def test_an_id_tells_two_apart_before_anything_else() -> None:
    second, first = (f'dev: isa-i8259, id "{name}"' for name in ("second", "first"))
    begin, _, rest = TEXT.rpartition('dev: isa-i8259, id ""')
    found = facts((begin + second + rest).replace('dev: isa-i8259, id ""', first))
    assert found["devices/00:1f.0/isa-i8259@first/iobase"] == "160"
    assert found["devices/00:1f.0/isa-i8259@second/iobase"] == "32"


def test_two_that_nothing_tells_apart_are_counted_with_their_properties() -> None:
    text = TEXT.replace("iobase", "width")
    found = facts(text)
    assert found["devices/00:1f.0/isa-i8259@/width"] == "160"
    assert found["devices/00:1f.0/isa-i8259@#2/width"] == "32"


def test_parents_come_first() -> None:
    found = devices(TEXT)
    assert all(one.parent is None or one.parent < index for index, one in enumerate(found))
    assert found[2].id == "pci.1"
    assert found[2].properties["romfile"] == "/some/where/rom = 1"


@given(st.text(max_size=100), st.integers(0, len(TEXT)))
def test_any_text_is_read(text: str, cut: int) -> None:
    assert all(name for name, _ in named(devices(TEXT[:cut] + text + TEXT[cut:])))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 20),
            st.sampled_from(['dev: a, id ""', "a = 1", "bus: b", "class x, addr 00:01.0, pci id"]),
        ),
        max_size=30,
    )
)
def test_any_indentation_is_read(lines: list[tuple[int, str]]) -> None:
    found = devices("\n".join(" " * indent + line for indent, line in lines))
    assert len(found) == sum(line.startswith("dev") for _, line in lines)
