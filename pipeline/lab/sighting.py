"""A look at a guest that sits at the UEFI shell: by QEMU's monitor, and in the guest's memory.

The serial line is slow without KVM, so the shell says only where the firmware's tables are, and the tables are
read out of memory. `pmemsave` reads MMIO too, and so the ECAM (QEMU system/cpus.c qmp_pmemsave; ran, 7.2 to 11.1).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.errors import LabFault
from pipeline.fingerprint.sighting import Sighting
from pipeline.lab import payload
from pipeline.pci import Address

QUERIES = (
    "query-version",
    "query-kvm",
    "query-uuid",
    "query-current-machine",
    "query-memory-size-summary",
    "query-cpus-fast",
    "query-pci",
)
TEXTS = ("info mtree -f", "info qtree")
MACHINE = "/machine"
MACHINE_PROPERTIES = (
    *("type", "smp", "smm", "acpi", "pit", "pic", "hpet", "vmport", "i8042", "sata", "smbus"),
    *("smbios-entry-point-type", "max-ram-below-4g", "x-oem-id", "x-oem-table-id"),
)
CPU = "cpu"
"""Stands for the path of the first CPU in the keys of the answers."""
CPU_PROPERTIES = (
    *("feature-words", "vendor", "family", "model", "stepping", "model-id", "apic-id"),
    *(
        "level",
        "level-func7",
        "xlevel",
        "xlevel2",
        "phys-bits",
        "host-phys-bits",
        "ucode-rev",
        "tsc-frequency",
    ),
    *("l3-cache", "legacy-cache", "cpuid-0xb", "fill-mtrr-mask", "pmu", "kvm", "hypervisor", "hv-vendor-id"),
    *(
        "hv-relaxed",
        "hv-vapic",
        "hv-spinlocks",
        "hv-vpindex",
        "hv-runtime",
        "hv-synic",
        "hv-stimer",
        "hv-time",
    ),
    *("hv-reset", "hv-frequencies", "hv-reenlightenment", "hv-tlbflush", "hv-ipi", "hv-evmcs"),
)

_BLOCK = 0x10000
_MOST_TABLES = 64
_MOST_TABLE_BYTES = 1 << 18
_MOST_FUNCTIONS = 512
_CONFIG_BYTES = 0x1000
_EXTENDED = 0x100
_FLASH_BYTES = 0x40000  # the variable store of OVMF of 4 MiB (OvmfPkg/Include/Fdf/VarStore.fdf.inc)
_TABLES = ("dmem", f"echo {payload.END}")
_SYSTEM_TABLE = re.compile(r"EFI Header at Address ([0-9A-F]{8,16})")
_ACPI = bytes.fromhex("71e86888f1e4d311bc220080c73c8881")  # EFI_ACPI_20_TABLE_GUID
_SMBIOS = bytes.fromhex("312d9deb882dd3119a160090273fc14d")  # SMBIOS_TABLE_GUID
_SMBIOS3 = bytes.fromhex("4415fdf294972c4a992ee5bbcf20e394")  # SMBIOS3_TABLE_GUID


class Monitor(Protocol):
    """QEMU's monitor. Both methods raise LabFault where QEMU refuses or is gone."""

    def execute(self, command: str, **arguments: object) -> Any:
        """The answer of a QMP command, a JSON value."""

    def read_memory(self, address: int, size: int) -> bytes:
        """`size` bytes from a guest physical address, of RAM or MMIO."""


def script(ports: Sequence[tuple[int, int]]) -> str:
    """The shell script for a sighting: what `payload.read` reads, and where the firmware's tables are.

    It leaves the guest running after its end: the one who watches takes the sighting, and ends it.
    """
    return payload.text([*payload.questions(ports), *_TABLES])


def short_script() -> str:
    """The same for one who reads from the sighting what the payload would say."""
    return payload.text([f"echo {payload.BEGIN}", *_TABLES])


def collect(monitor: Monitor, serial: str) -> Sighting:
    """Look at a guest whose shell has said `serial`, from `script`.

    What this QEMU does not know is in the sighting's `missing`. Raises LabFault where QEMU is gone.
    """
    look = _Look(monitor=monitor)
    for command in QUERIES:
        look.query(command, command)
    for name in MACHINE_PROPERTIES:
        look.query(f"qom-get {MACHINE} {name}", "qom-get", path=MACHINE, property=name)
    for name in CPU_PROPERTIES if look.cpu_path() else ():
        look.query(f"qom-get {CPU} {name}", "qom-get", path=look.cpu_path(), property=name)
    if path := look.cpu_path():
        look.query(f"qom-get {CPU}/lapic type", "qom-get", path=f"{path}/lapic", property="type")
    for command in TEXTS:
        look.text(command)
    memory = dict(_memory(look, serial))
    return Sighting(qmp=look.qmp, hmp=look.hmp, serial=serial, memory=memory, missing=look.missing)


@dataclass(kw_only=True, slots=True)
class _Look:
    """What was seen so far. Memory is read in aligned blocks, and each once: a request can be expensive."""

    monitor: Monitor
    qmp: dict[str, Any] = field(default_factory=dict)
    hmp: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    _blocks: dict[int, bytes] = field(default_factory=dict)

    def query(self, key: str, command: str, **arguments: object) -> None:
        """Ask for `key`; where QEMU refuses, it goes to what is missing."""
        try:
            self.qmp[key] = self.monitor.execute(command, **arguments)
        except LabFault as error:
            self._refused(key, error)

    def text(self, command: str) -> None:
        """Ask the human monitor, which says by text that it does not know a command."""
        try:
            text = self.monitor.execute("human-monitor-command", **{"command-line": command})
        except LabFault as error:
            self._refused(command, error)
            return
        if isinstance(text, str) and not text.startswith(("unknown command", "Error:")):
            self.hmp[command] = text.replace("\r\n", "\n")
        else:
            self.missing[command] = str(text).strip().partition("\n")[0][:200]

    def _refused(self, key: str, error: LabFault) -> None:
        self.monitor.execute("query-status")  # tells a refusal from a QEMU that is gone
        self.missing[key] = error.message.partition("\n")[0][:200]

    def cpu_path(self) -> str:
        """The object of the first CPU; empty where it is not known."""
        cpus = self.qmp.get("query-cpus-fast")
        first = cpus[0] if isinstance(cpus, list) and cpus else None
        return str(first.get("qom-path", "")) if isinstance(first, dict) else ""

    def ram(self, address: int, size: int) -> bytes:
        """Bytes of the guest's memory; shorter where QEMU refuses to read there."""
        first, last = address // _BLOCK, (address + size - 1) // _BLOCK
        found = b"".join(self._block(number * _BLOCK) for number in range(first, last + 1))
        return found[address - first * _BLOCK :][:size]

    def _block(self, address: int) -> bytes:
        if address not in self._blocks:
            self._blocks[address] = self.direct(address, _BLOCK)
        return self._blocks[address]

    def direct(self, address: int, size: int) -> bytes:
        """The same without blocks, for MMIO; nothing where QEMU refuses."""
        try:
            return self.monitor.read_memory(address, size)
        except LabFault as error:
            self._refused(f"memory at {address:#x}", error)
            return b""


def _memory(look: _Look, serial: str) -> Iterator[tuple[str, bytes]]:
    tables = _configuration(look, serial)
    yield from _acpi(look, tables)
    yield from _smbios(look, tables)
    yield from _variables(look)


def _configuration(look: _Look, serial: str) -> Mapping[bytes, int]:
    """The firmware's tables by GUID (UEFI 2.10, 4.3 EFI_SYSTEM_TABLE and 4.6)."""
    found = _SYSTEM_TABLE.search("\n".join(payload.clean(line) for line in serial.splitlines()))
    if not found:
        look.missing["memory"] = "the shell did not say where the system table is"
        return {}
    table = look.ram(int(found[1], 16), 0x78)
    if not table.startswith(b"IBI SYST") or len(table) < 0x78:
        look.missing["memory"] = "there is no system table where the shell said"
        return {}
    count, start = struct.unpack_from("<QQ", table, 0x68)
    rows = look.ram(start, 24 * min(count, _MOST_TABLES))
    return {rows[at : at + 16]: _number(rows, at + 16, 8) for at in range(0, len(rows) - 23, 24)}


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _acpi(look: _Look, tables: Mapping[bytes, int]) -> Iterator[tuple[str, bytes]]:
    """RSDP, XSDT, each table of it, and what the FADT points to (ACPI 6.5, 5.2); and the ECAM that MCFG tells."""
    address = tables.get(_ACPI, 0)
    pointer = look.ram(address, 36) if address else b""
    if not pointer.startswith(b"RSD PTR "):
        look.missing.setdefault("memory/acpi", "the firmware has no RSDP")
        return
    yield "acpi/RSDP", pointer
    root = _table(look, _number(pointer, 24, 8))
    yield "acpi/XSDT", root
    entries = [_number(root, at, 8) for at in range(36, len(root) - 7, 8)][:_MOST_TABLES]
    seen: dict[str, int] = {}
    while entries:
        table = _table(look, entries.pop(0))
        signature = table[:4].decode("ascii", errors="replace")
        if not signature.isalnum():
            continue
        seen[signature] = seen.get(signature, 0) + 1
        yield f"acpi/{signature}{f'#{seen[signature]}' if seen[signature] > 1 else ''}", table
        if signature == "FACP" and seen[signature] == 1:
            entries += _fadt_pointers(table)
        elif signature == "MCFG" and len(table) >= 60:
            yield from _config_spaces(look, base=_number(table, 44, 8), first_bus=table[54])


def _fadt_pointers(table: bytes) -> list[int]:
    """FACS and DSDT: the addresses of 64 bits where they are given, else those of 32 (ACPI 6.5, table 5.9)."""
    pairs = ((_number(table, 132, 8), _number(table, 36, 4)), (_number(table, 140, 8), _number(table, 40, 4)))
    return [wide or narrow for wide, narrow in pairs if wide or narrow]


def _table(look: _Look, address: int) -> bytes:
    size = _number(look.ram(address, 8), 4, 4) if address else 0
    return look.ram(address, size) if 8 <= size <= _MOST_TABLE_BYTES else b""


def _smbios(look: _Look, tables: Mapping[bytes, int]) -> Iterator[tuple[str, bytes]]:
    """Entry point and structures (SMBIOS 3.7, 5.2.1 and 5.2.2)."""
    if address := tables.get(_SMBIOS3, 0):
        entry = look.ram(address, 24)
        size, start = _number(entry, 12, 4), _number(entry, 16, 8)
    elif address := tables.get(_SMBIOS, 0):
        entry = look.ram(address, 31)
        size, start = _number(entry, 22, 2), _number(entry, 24, 4)
    else:
        look.missing.setdefault("memory/smbios", "the firmware has no SMBIOS table")
        return
    yield "smbios/entry", entry
    yield "smbios/structures", look.ram(start, min(size, _MOST_TABLE_BYTES))


def _config_spaces(look: _Look, *, base: int, first_bus: int) -> Iterator[tuple[str, bytes]]:
    """The config space of each function through the ECAM (PCI Firmware 3.3, 4.1.2).

    One without extended capabilities has zeros where the first of them would begin (PCI Express 6.0, 7.6.1), and is
    read no further: an emulated function answers each dword by a message, a whole space in 0.15 s.
    """
    functions = sorted(_functions(look.qmp.get("query-pci")))
    for bus, device, function in functions[:_MOST_FUNCTIONS]:
        if bus < first_bus:
            continue
        start = base + ((bus - first_bus) << 20 | device << 15 | function << 12)
        space = look.direct(start, _EXTENDED + 4)
        if any(space[_EXTENDED:]):
            space += look.direct(start + len(space), _CONFIG_BYTES - len(space))
        yield f"pci/{Address(0, bus, device, function)}", space.ljust(_CONFIG_BYTES if space else 0, b"\0")


def _functions(answer: Any) -> Iterator[tuple[int, int, int]]:
    buses = list(answer) if isinstance(answer, list) else []
    while buses:
        for device in buses.pop().get("devices", ()):
            yield device["bus"], device["slot"], device["function"]
            if below := device.get("pci_bridge"):
                buses.append(below)


def _variables(look: _Look) -> Iterator[tuple[str, bytes]]:
    """The flash with the firmware's variables: the one of the two that begins lower (hw/i386/pc_sysfw.c)."""
    text = look.hmp.get("info mtree -f", "")
    found = re.search(r"^\s*([0-9a-f]{16})-([0-9a-f]{16}) .*: system\.flash1$", text, re.MULTILINE)
    if not found:
        look.missing.setdefault("memory/variables", "the machine has no flash for variables")
        return
    start, end = int(found[1], 16), int(found[2], 16)
    yield "firmware/variables", look.direct(start, min(end - start + 1, _FLASH_BYTES))
