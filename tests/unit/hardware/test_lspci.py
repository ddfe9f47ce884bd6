"""Every form of lspci's output gives the same functions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.hardware import lspci
from pipeline.hardware.lspci import parse
from pipeline.pci import Address, IdPair

NAMES = """\
00:00.0 Host bridge [0600]: Advanced Micro Devices, Inc. [AMD] Family 17h (Models 00h-0fh) Root Complex [1022:1450]
01:00.0 VGA compatible controller [0300]: AMD [AMD/ATI] Baffin [Radeon RX 560] [1002:67ef] (rev e5)
01:00.1 Audio device [0403]: Advanced Micro Devices, Inc. [AMD/ATI] Baffin HDMI/DP Audio [Radeon RX 550] [1002:aae0]
"""
KERNEL = """\
00:00.0 Host bridge [0600]: Advanced Micro Devices, Inc. [AMD] Root Complex [1022:1450]
\tSubsystem: Advanced Micro Devices, Inc. [AMD] Root Complex [1022:1450]
01:00.0 VGA compatible controller [0300]: AMD Baffin [Radeon] [1002:67ef] (rev e5) (prog-if 00 [VGA controller])
\tSubsystem: Tul Corporation / PowerColor Baffin [148c:2385]
\tFlags: bus master, fast devsel, latency 0, IRQ 65, IOMMU group 13
\tKernel driver in use: amdgpu
\tKernel modules: amdgpu, radeon
01:00.1 Audio device [0403]: AMD [AMD/ATI] Baffin HDMI/DP Audio [1002:aae0]
\tSubsystem: Tul Corporation / PowerColor Baffin HDMI [148c:aae0]
\tKernel modules: snd_hda_intel
"""
NUMBERS = """\
00:00.0 0600: 1022:1450
01:00.0 0300: 1002:67ef (rev e5)
01:00.1 0403: 1002:aae0
"""
MACHINE = """\
Slot:\t00:00.0
Class:\tHost bridge [0600]
Vendor:\tAdvanced Micro Devices, Inc. [AMD] [1022]
Device:\tRoot Complex [1450]

Slot:\t01:00.0
Class:\tVGA compatible controller [0300]
Vendor:\tAMD [AMD/ATI] [1002]
Device:\tBaffin [Radeon RX 560] [67ef]
SVendor:\tTul Corporation / PowerColor [148c]
SDevice:\tBaffin [2385]
Rev:\te5
ProgIf:\t00
Driver:\tamdgpu
Module:\tamdgpu
Module:\tradeon
IOMMUGroup:\t13

Slot:\t01:00.1
Class:\tAudio device [0403]
Vendor:\tAMD [AMD/ATI] [1002]
Device:\tBaffin HDMI/DP Audio [aae0]
"""
LOOP = """\
IOMMU Group 0 00:00.0 Host bridge [0600]: Advanced Micro Devices, Inc. [AMD] Root Complex [1022:1450]
IOMMU Group 13 01:00.0 VGA compatible controller [0300]: AMD [AMD/ATI] Baffin [Radeon RX 560] [1002:67ef] (rev e5)
IOMMU Group 13 01:00.1 Audio device [0403]: AMD [AMD/ATI] Baffin HDMI/DP Audio [1002:aae0]
"""
TITLES = """\
IOMMU Group 0:
\t00:00.0 Host bridge [0600]: Advanced Micro Devices, Inc. [AMD] Root Complex [1022:1450]
IOMMU Group 13:
\t01:00.0 VGA compatible controller [0300]: AMD [AMD/ATI] Baffin [Radeon RX 560] [1002:67ef] (rev e5)
\t01:00.1 Audio device [0403]: AMD [AMD/ATI] Baffin HDMI/DP Audio [1002:aae0]
"""
GPU = Address.parse("01:00.0")


def lines(text: str) -> list[str]:
    return text.split("\n")


@pytest.mark.parametrize(
    "text", [NAMES, KERNEL, NUMBERS, MACHINE, LOOP, TITLES, NAMES.replace("\n0", "\n0000:0")]
)
def test_the_same_functions_in_every_form(text: str) -> None:
    found = parse(lines(text))
    assert not found.unread
    assert [(str(one.address), str(one.ids), one.class_code[:4]) for one in found.devices] == [
        ("00:00.0", "1022:1450", "0600"),
        ("01:00.0", "1002:67ef", "0300"),
        ("01:00.1", "1002:aae0", "0403"),
    ]
    assert found.vendor() == "amd"


@pytest.mark.parametrize("text", [KERNEL, MACHINE])
def test_what_the_kernel_has_for_them(text: str) -> None:
    found = parse(lines(text))
    gpu = found.devices[1]
    assert gpu.subsystem == IdPair.parse("148c:2385")
    assert gpu.class_code == "030000"
    assert gpu.revision == "e5"
    assert gpu.driver == "amdgpu"
    assert gpu.modules == ("amdgpu", "radeon")
    assert found.devices[2].driver == ""


def test_a_list_without_k_says_nothing_of_drivers() -> None:
    assert all(one.driver is None for one in parse(lines(NAMES)).devices)


@pytest.mark.parametrize("text", [LOOP, TITLES])
def test_groups_of_the_loop(text: str) -> None:
    found = parse(lines(text)).groups()
    assert {number: [str(one) for one in group] for number, group in found.items()} == {
        0: ["00:00.0"],
        13: ["01:00.0", "01:00.1"],
    }


def test_a_list_and_the_loop_are_put_together() -> None:
    found = parse(lines(KERNEL + LOOP))
    assert [one.line for one in found.devices] == [1, 3, 8]
    assert found.devices[1].driver == "amdgpu"
    assert found.devices[1].group == 13


def test_a_verbose_list_has_the_group_as_a_detail() -> None:
    found = parse(lines("01:00.0 0300: 1002:67ef\n\tIOMMU group: 7\n02:00.0 0200: 8086:1521\n"))
    assert found.groups() == {7: [GPU]}


def test_what_has_no_ids_is_named() -> None:
    found = parse(lines("01:00.0 VGA compatible controller: AMD [AMD/ATI] Baffin (rev e5)\n"))
    assert found.unread == [(1, "it has no ids in brackets; make the list with lspci -nnk")]
    assert not found.devices


def test_a_domain_of_more_digits_is_named() -> None:
    found = parse(lines("10000:e0:06.0 PCI bridge [0604]: Intel Corporation [8086:09ab]"))
    assert [line for line, _ in found.unread] == [1]


def test_where_a_function_stands() -> None:
    assert [(one.line, one.column) for one in parse(lines(LOOP)).devices] == [(1, 15), (2, 16), (3, 16)]


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.builds(
                Address,
                st.integers(0, 1),
                st.integers(0, 255),
                st.integers(0, 31),
                st.integers(0, 7),
            ),
            st.builds(IdPair, st.integers(0, 65535), st.integers(0, 65535)),
            st.text(st.characters(codec="ascii", exclude_characters="\n\t\r", min_codepoint=32), max_size=40),
        ),
        unique_by=lambda one: one[0],
        max_size=8,
    )
)
def test_what_is_written_is_read(devices: list[tuple[Address, IdPair, str]]) -> None:
    text = [f"{address} Class [0300]: {name} [{ids}] (rev 01)" for address, ids, name in devices]
    found = parse(text)
    assert [(one.address, one.ids) for one in found.devices] == [
        (address, ids) for address, ids, _ in devices
    ]


@settings(max_examples=300)
@given(st.lists(st.text(st.sampled_from("01:.f [](VGAIOMU Grouprev\tSlot:Class"), max_size=60), max_size=10))
def test_nothing_is_raised(text: list[str]) -> None:
    assert isinstance(parse(text), lspci.Listing)
