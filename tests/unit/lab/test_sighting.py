from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LabFault
from pipeline.lab import payload
from pipeline.lab.sighting import collect, script

CPU = "/machine/unattached/device[0]"
ECAM, TABLE, CONFIGURATION, RSDP, XSDT = 0xE0000000, 0x7F000018, 0x7F000400, 0x7F010000, 0x7F010100
FADT, MCFG, DSDT, FACS, ODD = 0x7F020000, 0x7F020400, 0x7F028000, 0x7F038000, 0x7F02FFF0
SERIAL = f"Valid EFI Header at Address \x1b[0m{TABLE:016X}\r\nDRYBOOT-END\r\n"
MTREE = (
    "  00000000ffc00000-00000000ffc83fff (prio 0, romd): system.flash1\r\n"
    "  00000000ffc84000-00000000ffffffff (prio 0, romd): system.flash0\r\n"
)
BRIDGE = {"bus": {}, "devices": [{"bus": 1, "slot": 0, "function": 1}, {"bus": 1, "slot": 0, "function": 0}]}
PCI = [{"bus": 0, "devices": [{"bus": 0, "slot": 1, "function": 0, "pci_bridge": BRIDGE}]}]


def table(signature: bytes, body: bytes) -> bytes:
    return signature + struct.pack("<I", 8 + len(body)) + body


def guest() -> dict[int, bytes]:
    """Pieces of memory by their addresses."""
    acpi, smbios = "8868e871-e4f1-11d3-bc22-0080c73c8881", "f2fd1544-9794-4a2c-992e-e5bbcf20e394"
    fadt = bytearray(table(b"FACP", bytes(260)))
    struct.pack_into("<I", fadt, 36, FACS)
    struct.pack_into("<Q", fadt, 140, DSDT)
    pointers = (FADT, MCFG, ODD, ODD, 0, 1 << 63)
    return {
        TABLE: b"IBI SYST" + bytes(0x60) + struct.pack("<QQ", 2, CONFIGURATION),
        CONFIGURATION: guid(acpi) + struct.pack("<Q", RSDP) + guid(smbios) + struct.pack("<Q", 0x7F050000),
        RSDP: b"RSD PTR " + bytes(16) + struct.pack("<QI", XSDT, 0),
        XSDT: table(b"XSDT", bytes(28) + struct.pack(f"<{len(pointers)}Q", *pointers)),
        FADT: bytes(fadt),
        MCFG: table(b"MCFG", bytes(36) + struct.pack("<QHBBI", ECAM, 0, 0, 255, 0)),
        ODD: table(b"SSDT", b"over the edge of a block"),
        DSDT: table(b"DSDT", b"code"),
        FACS: table(b"FACS", bytes(56)),
        0x7F050000: b"_SM3_" + bytes(7) + struct.pack("<IQ", 5, 0x7F060000),
        0x7F060000: b"shape",
        ECAM + 0x8000: b"port",
        ECAM + 0x100000: b"one",
        ECAM + 0x101000: b"two",
        0xFFC00000: b"variables",
    }


def guid(text: str) -> bytes:
    first, second, third, fourth, fifth = text.split("-")
    little = b"".join(bytes.fromhex(part)[::-1] for part in (first, second, third))
    return little + bytes.fromhex(fourth + fifth)


@dataclass
class Fake:
    """A monitor; `unknown` are the commands and properties that this QEMU lacks."""

    memory: Mapping[int, bytes] = field(default_factory=guest)
    unknown: frozenset[str] = frozenset()
    pci: Any = field(default_factory=lambda: PCI)
    gone: bool = False
    reads: list[tuple[int, int]] = field(default_factory=list)

    def execute(self, command: str, **arguments: object) -> Any:
        name = str(arguments.get("property") or arguments.get("command-line") or command)
        if self.gone or name in self.unknown:
            raise LabFault(f"QEMU did not answer {name}")
        match command:
            case "human-monitor-command" if name == "info qtree":
                return "unknown command: 'info qtree'\r\n"
            case "human-monitor-command":
                return MTREE
            case "query-pci":
                return self.pci
            case "query-cpus-fast":
                return [{"qom-path": CPU}, {"qom-path": "/another"}]
            case "qom-get":
                return f"{name} of {arguments['path']}"
        return {}

    def read_memory(self, address: int, size: int) -> bytes:
        if self.gone or address >= 1 << 63:
            raise LabFault("cannot read there")
        self.reads.append((address, size))
        data = bytearray(size)
        for start, piece in self.memory.items():
            first, last = max(start, address), min(start + len(piece), address + size)
            if first < last:
                data[first - address : last - address] = piece[first - start : last - start]
        return bytes(data)


def test_the_script_tells_what_the_payload_is_read_for_and_leaves_the_guest_running() -> None:
    lines = script([(1, 0)]).split("\r\n")
    assert lines[-3:] == ["dmem", f"echo {payload.END}", ""]
    assert lines[:-3] == payload.script([(1, 0)]).split("\r\n")[:-3]


def test_tables_are_followed_from_the_system_table() -> None:
    memory = collect(Fake(), SERIAL).memory
    assert memory["acpi/FACP"][:4] == b"FACP"
    assert memory["acpi/DSDT"] == table(b"DSDT", b"code")
    assert len(memory["acpi/FACS"]) == 64
    assert memory["acpi/SSDT"] == memory["acpi/SSDT#2"] == table(b"SSDT", b"over the edge of a block")
    assert memory["smbios/structures"] == b"shape"
    assert memory["smbios/entry"].startswith(b"_SM3_")
    assert memory["firmware/variables"].startswith(b"variables")
    assert len(memory["firmware/variables"]) == 0x40000


def test_the_second_table_of_a_signature_does_not_lead_anywhere() -> None:
    memory = guest()
    memory[XSDT] = table(b"XSDT", bytes(28) + struct.pack("<QQ", FADT, FADT))
    seen = collect(Fake(memory=memory), SERIAL).memory
    assert {name for name in seen if name.startswith("acpi/")} == {
        "acpi/RSDP", "acpi/XSDT", "acpi/FACP", "acpi/FACP#2", "acpi/FACS", "acpi/DSDT",
    }  # fmt: skip


def test_the_pointer_of_64_bits_counts_where_there_are_both() -> None:
    memory = guest()
    fadt = bytearray(memory[FADT])
    struct.pack_into("<I", fadt, 40, FACS)
    memory[FADT] = bytes(fadt)
    assert collect(Fake(memory=memory), SERIAL).memory["acpi/DSDT"] == table(b"DSDT", b"code")


def test_each_function_has_its_config_space() -> None:
    monitor = Fake()
    memory = collect(monitor, SERIAL).memory
    spaces = {name: data[:4].strip(b"\0") for name, data in memory.items() if name.startswith("pci/")}
    assert spaces == {"pci/00:01.0": b"port", "pci/01:00.0": b"one", "pci/01:00.1": b"two"}
    assert all(len(data) == 0x1000 for name, data in memory.items() if name.startswith("pci/"))


def test_a_config_space_is_read_as_far_as_there_is_something() -> None:
    capability = {ECAM + 0x100100: b"\x0d\0\x01\0", ECAM + 0x100FFC: b"end."}
    monitor = Fake(memory={**guest(), **capability})
    memory = collect(monitor, SERIAL).memory
    assert memory["pci/01:00.0"].endswith(b"end.")
    assert sum(size for address, size in monitor.reads if address >> 12 == (ECAM + 0x100000) >> 12) == 0x1000
    assert [size for address, size in monitor.reads if address >> 12 == (ECAM + 0x101000) >> 12] == [0x104]


def test_memory_is_read_once() -> None:
    monitor = Fake()
    collect(monitor, SERIAL)
    assert len(monitor.reads) == len(set(monitor.reads)) < 12


def test_answers_are_kept_under_what_was_asked() -> None:
    seen = collect(Fake(), SERIAL)
    assert seen.qmp["qom-get /machine smp"] == "smp of /machine"
    assert seen.qmp["qom-get cpu feature-words"] == f"feature-words of {CPU}"
    assert seen.hmp["info mtree -f"] == MTREE.replace("\r", "")
    assert seen.serial == SERIAL


def test_what_this_qemu_does_not_know_is_left_out_by_name() -> None:
    seen = collect(Fake(unknown=frozenset({"l3-cache", "query-kvm"})), SERIAL)
    assert seen.missing["query-kvm"] == "QEMU did not answer query-kvm"
    assert seen.missing["qom-get cpu l3-cache"] == "QEMU did not answer l3-cache"
    assert seen.missing["info qtree"] == "unknown command: 'info qtree'"
    assert "query-kvm" not in seen.qmp
    assert "info qtree" not in seen.hmp


def test_a_qemu_that_is_gone_is_no_missing_answer() -> None:
    with pytest.raises(LabFault):
        collect(Fake(gone=True), SERIAL)


@pytest.mark.parametrize(
    ("serial", "reason"),
    [("", "the shell did not say"), (SERIAL.replace(f"{TABLE:016X}", f"{RSDP:016X}"), "there is no system")],
)
def test_without_a_system_table_there_is_no_memory(serial: str, reason: str) -> None:
    seen = collect(Fake(), serial)
    assert not [name for name in seen.memory if name.startswith("acpi")]
    assert seen.missing["memory"].startswith(reason)


@given(
    where=st.sampled_from([TABLE, CONFIGURATION, RSDP, XSDT, FADT, MCFG, 0x7F050000]),
    at=st.integers(0, 130),
    data=st.binary(min_size=1, max_size=16),
)
def test_no_table_makes_it_read_without_end(where: int, at: int, data: bytes) -> None:
    memory = guest()
    memory[where] = memory[where][:at].ljust(at, b"\0") + data + memory[where][at + len(data) :]
    monitor = Fake(memory=memory)
    collect(monitor, SERIAL)
    assert sum(size for _, size in monitor.reads) < 20 << 20
