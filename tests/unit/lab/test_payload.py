from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LabFault
from pipeline.lab import payload
from pipeline.lab.payload import GuestFunction, Report, read
from pipeline.pci import IdPair

COLOUR, PLAIN = "\x1b[1m\x1b[33m\x1b[40m", "\x1b[0m\x1b[37m\x1b[40m"


def entry(address: str, what: str, vendor: str, device: str) -> list[str]:
    return [
        f"    {COLOUR}{address} ==> {PLAIN}{what}",
        f"             Vendor {vendor} Device {device} Prog Interface 0",
    ]


SMBIOS = [
    f"\x1b[1m\x1b[37m\x1b[40mSMBIOS Entry Point Structure:{PLAIN}",
    "Anchor String:        _SM_",
    "EPS Checksum:         0x23",
    "Version:              2.8",
    "  00000000: 00 00 00 00 00                                   *.....*",
]
LINES = [
    '\x1b[2J\x1b[01;01H\x1b[=3h\x1b[2J\x1b[01;01HBdsDxe: loading Boot0001 "UEFI QEMU DVD-ROM QM00003 "',
    f"\x1b[16;01HPress \x1b[1m\x1b[37m\x1b[40mESC{PLAIN} in 1 seconds to skip startup.nsh"
    "\x1b[16;01H or any other key to continue.",
    "DRYBOOT-BEGIN",
    "\x1b[18;01HUEFI Interactive Shell v2.2",
    "EDK II",
    "UEFI v2.70 (Debian distribution of EDK II, 0x00010000)",
    "   Seg  Bus  Dev  Func",
    "   ---  ---  ---  ----",
    *entry("00   00   00    00", "Bridge Device - Host/PCI bridge", "8086", "29C0"),
    *entry("00   00   01    00", "Bridge Device - PCI/PCI bridge", "1B36", "000C"),
    *entry("00   00   1F    02", "Mass Storage Controller - Serial ATA controller", "8086", "2922"),
    *entry("00   01   00    00", "Display Controller - VGA/8514 controller", "1002", "67EF"),
    *entry("00   01   00    01", "Multimedia Device - Mixed mode device", "1002", "AAE0"),
    *SMBIOS,
    "QueryType   = 0",
    "Type: BIOS Information",
    "Vendor: Debian distribution of EDK II",
    "BIOS Version: 2025.02-8+deb13u1",
    "BIOS Starting Address Segment: 0xE800",
    *SMBIOS,
    "QueryType   = 1",
    "Type: System Information",
    "Manufacturer: QEMU",
    "ProductName: Standard PC (Q35 + ICH9, 2009)",
    "Version: pc-q35-9.2",
    "SerialNumber: ",
    "DRYBOOT-PORT 01 0",
    "0x00010100",
    "DRYBOOT-PORT 01 1",
    "0x00020200",
    "DRYBOOT-END",
]
TEXT = "\r\n".join(LINES)


def at(bus: int, device: int, function: int, ids: str) -> GuestFunction:
    return GuestFunction(bus=bus, device=device, function=function, ids=IdPair.parse(ids))


def test_a_whole_report_is_read_through_the_terminal_s_escapes() -> None:
    assert read(TEXT) == Report(
        complete=True,
        firmware="Debian distribution of EDK II 2025.02-8+deb13u1",
        machine="pc-q35-9.2",
        functions=(
            at(0, 0, 0, "8086:29c0"),
            at(0, 1, 0, "1b36:000c"),
            at(0, 0x1F, 2, "8086:2922"),
            at(1, 0, 0, "1002:67ef"),
            at(1, 0, 1, "1002:aae0"),
        ),
        port_buses=(1, 2),
    )


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r\n\n"])
def test_line_ends_do_not_matter(ends: str) -> None:
    assert read(ends.join(LINES)) == read(TEXT)


def test_nothing_says_nothing() -> None:
    assert read("") == Report(complete=False, firmware="", machine="", functions=(), port_buses=())


@pytest.mark.parametrize("length", sorted({*range(0, len(TEXT), 97), *range(len(TEXT) - 12, len(TEXT))}))
def test_a_cut_output_is_never_complete(length: int) -> None:
    found = read(TEXT[:length])
    assert not found.complete
    whole = read(TEXT)
    assert found.functions == whole.functions[: len(found.functions)]
    assert found.port_buses == whole.port_buses[: len(found.port_buses)]


def test_the_version_of_the_smbios_table_is_not_that_of_the_machine() -> None:
    assert read("\n".join([*SMBIOS, "Version: 2.8"])).machine == ""


def test_a_port_that_gives_no_number_is_left_out() -> None:
    assert read(
        "DRYBOOT-PORT 01 0\nmm: not known\nDRYBOOT-PORT 01 1\n0x00020200\nDRYBOOT-END"
    ).port_buses == (2,)


def test_a_function_without_its_ids_is_left_out() -> None:
    lines = [
        "00   01   00    00 ==> Display",
        "00   02   00    00 ==> Display",
        " Vendor 1002 Device 67EF Prog",
    ]
    assert read("\n".join(lines)).functions == (at(2, 0, 0, "1002:67ef"),)


@given(
    st.text(max_size=60) | st.lists(st.sampled_from(LINES) | st.text(max_size=20), max_size=12).map("\n".join)
)
def test_any_text_is_read(text: str) -> None:
    found = read(text)
    assert isinstance(found, Report)
    assert all(0 <= bus <= 0xFF for bus in found.port_buses)


@given(st.text("DRYBOT-END \r\n\x1b[0m", max_size=40))
def test_only_a_line_that_begins_with_the_end_is_one(text: str) -> None:
    lines = [payload.clean(line) for line in text.splitlines()]
    assert read(text).complete == any(line.startswith("DRYBOOT-END") for line in lines)


def test_the_script_asks_for_every_port_and_turns_the_guest_off() -> None:
    lines = payload.script([(1, 0), (0x1A, 7)]).split("\r\n")
    assert lines[:3] == ["@echo -off", "echo DRYBOOT-BEGIN", "ver"]
    assert lines[6:] == [
        "echo DRYBOOT-PORT 01 0",
        "mm 00010018 -w 4 -PCI -n",
        "echo DRYBOOT-PORT 1A 7",
        "mm 001A0718 -w 4 -PCI -n",
        "echo DRYBOOT-END",
        "reset -s",
        "",
    ]


def test_clean_leaves_the_text_alone() -> None:
    assert payload.clean("\x1b[16;01H  a [0m b\x1b[0m \r") == "  a [0m b"


def test_missing_mtools_are_a_lab_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    shell = tmp_path / "Shell.efi"
    shell.write_bytes(b"MZ")
    with pytest.raises(LabFault, match="cannot start mformat") as caught:
        payload.fat_image(shell, "", tmp_path / "payload.fat")
    assert caught.value.hint == "install mtools"


@pytest.mark.skipif(not shutil.which("mformat"), reason="mtools are not installed")
def test_the_boot_medium_holds_shell_and_script(tmp_path: Path) -> None:
    shell, fat, iso = tmp_path / "Shell.efi", tmp_path / "payload.fat", tmp_path / "boot.iso"
    shell.write_bytes(b"MZ" + b"shell" * 500)
    payload.fat_image(shell, payload.script([(1, 0)]), fat)
    data = fat.read_bytes()
    assert b"MZshellshell" in data
    assert "-nointerrupt".encode("utf-16-le") in data
    assert b"echo DRYBOOT-PORT 01 0" in data
    payload.boot_iso(fat, iso)
    assert data in iso.read_bytes()
    assert b"EL TORITO SPECIFICATION" in iso.read_bytes()


@pytest.mark.skipif(not shutil.which("mformat"), reason="mtools are not installed")
def test_a_shell_that_does_not_fit_is_a_lab_fault(tmp_path: Path) -> None:
    shell = tmp_path / "Shell.efi"
    shell.write_bytes(b"MZ".ljust(4 << 20))
    with pytest.raises(LabFault, match="mcopy"):
        payload.fat_image(shell, "", tmp_path / "payload.fat")
