from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.checks.observation import _SCRIPT, Observation, SeenFunction, parse
from pipeline.pci import Address, IdPair

TEXT = """\
@cmdline
quiet udev.log_priority=3 iommu=pt root=LABEL=dryboot dyndbg="func really_probe +p"
@iommu
ivhd0
@nodes
1
vfio
@functions
0000:00:1c.0 0x1022 0x1419 0x0000 0x0000 0x00 - -
0000:01:00.0 0x1002 0x67ef 0x148c 0x2385 0xe5 vfio-pci 1
0000:01:00.1 0x1002 0xaae0 0x148c 0xaae0 0x00 vfio-pci 1
0000:02:00.0 0x1b36 0x0010 0x1af4 0x1100 0x02 nvme 2
@probes
pci 0000:00:01.1: bus: 'pci': really_probe: probing driver pcieport with device
pci_express 0000:00:01.1:pcie001: bus: 'pci_express': really_probe: probing driver pcie_pme with device
pcieport 0000:00:01.1: bus: 'pci': really_probe: bound device to driver pcieport
pci 0000:01:00.0: bus: 'pci': really_probe: probing driver amdgpu with device
pci 0000:01:00.0: bus: 'pci': really_probe: probing driver vfio-pci with device
vfio-pci 0000:01:00.0: bus: 'pci': really_probe: bound device to driver vfio-pci
serio serio0: bus: 'serio': really_probe: probing driver atkbd with device
"""
GPU = Address.parse("01:00.0")


def test_a_whole_answer() -> None:
    assert parse(TEXT) == Observation(
        command_line=(
            "quiet",
            "udev.log_priority=3",
            "iommu=pt",
            "root=LABEL=dryboot",
            'dyndbg="func',
            "really_probe",
            '+p"',
        ),
        iommus=("ivhd0",),
        vfio_nodes=("1", "vfio"),
        functions={
            Address.parse("00:1c.0"): SeenFunction(
                ids=IdPair(0x1022, 0x1419), subsystem=IdPair(0, 0), revision=0, driver="", group=""
            ),
            GPU: SeenFunction(
                ids=IdPair(0x1002, 0x67EF),
                subsystem=IdPair(0x148C, 0x2385),
                revision=0xE5,
                driver="vfio-pci",
                group="1",
            ),
            Address.parse("01:00.1"): SeenFunction(
                ids=IdPair(0x1002, 0xAAE0),
                subsystem=IdPair(0x148C, 0xAAE0),
                revision=0,
                driver="vfio-pci",
                group="1",
            ),
            Address.parse("02:00.0"): SeenFunction(
                ids=IdPair(0x1B36, 0x0010),
                subsystem=IdPair(0x1AF4, 0x1100),
                revision=2,
                driver="nvme",
                group="2",
            ),
        },
        probes={Address.parse("00:01.1"): ("pcieport",), GPU: ("amdgpu", "vfio-pci")},
    )


def test_the_members_of_a_group() -> None:
    seen = parse(TEXT)
    assert seen.group("1") == {GPU, Address.parse("01:00.1")}
    assert seen.group("7") == frozenset()


def test_a_kernel_that_logs_no_probes_is_not_one_that_probed_nothing() -> None:
    head = TEXT.partition("@probes")[0]
    assert parse(f"{head}@probes\n").probes is None
    assert parse(f"{head}@probes\nserio serio0: bus: 'serio': really_probe: bound device\n").probes == {}


def test_a_host_without_iommu_nodes_or_functions() -> None:
    seen = parse("@cmdline\n\n@iommu\n@nodes\n@functions\n@probes\n")
    assert (seen.command_line, seen.iommus, seen.vfio_nodes, seen.functions) == ((), (), (), {})


def test_what_is_printed_before_the_answer_does_not_matter() -> None:
    assert parse("Welcome!\n" + TEXT) == parse(TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bash: command not found",
        "@probes\n",
        TEXT.partition("@probes")[0],
        TEXT.partition("@nodes")[0] + "@functions\n@probes\n",
        TEXT.replace("0x2385 0xe5 vfio-pci 1", "0x2385"),
        TEXT.replace("0x67ef", "-"),
        TEXT.replace("0000:01:00.0 0x", "nonsense 0x"),
    ],
)
def test_anything_else_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@given(st.lists(st.sampled_from(TEXT.splitlines()) | st.text(max_size=30), max_size=25).map("\n".join))
def test_any_text_is_read_or_a_value_error(text: str) -> None:
    try:
        assert isinstance(parse(text), Observation)
    except ValueError as error:
        assert str(error)


@pytest.mark.skipif(not shutil.which("dash"), reason="there is no dash")
def test_the_script_runs_in_a_plain_shell_and_its_answer_is_read() -> None:
    done = subprocess.run(["dash", "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("@cmdline\n")
    assert [line for line in done.stdout.splitlines() if line.startswith("@")] == [
        "@cmdline",
        "@iommu",
        "@nodes",
        "@functions",
        "@probes",
    ]
