"""The IOMMU: each rule firing, and silent beside it."""

from dataclasses import replace

import pytest

from pipeline.lint import iommu
from pipeline.lint.rule import Rule
from pipeline.setup import Setup
from pipeline.setup.model import Origin
from tests.unit.lint.setups import brief, edits, functions, host, line, modprobe, of, option

INTEL = of("intel-geforce")
DEBIAN = of("debian-geforce")
assert INTEL.board
# As of a machine: groups without the topology from which they could be predicted.
SEEN = replace(INTEL.board, topology=None)


def test_amd_s_parameter_on_an_intel_board_turns_nothing_on() -> None:
    setup = line(INTEL, "quiet", "amd_iommu=on")
    assert brief(iommu.iommu_never_on, setup) == [
        ("error", "nothing turns the IOMMU on: intel_iommu=on is not in /etc/default/grub")
    ]
    assert edits(iommu.iommu_never_on, setup) == [("add after", "amd_iommu=on", "intel_iommu=on")]


def test_fedora_s_kernels_leave_it_off_too() -> None:
    fedora = host(line(of("fedora-dracut"), "quiet"), cpu_vendor="intel")
    assert [severity for severity, _ in brief(iommu.iommu_never_on, fedora)] == ["error"]


@pytest.mark.parametrize(
    "setup",
    [
        line(INTEL, "intel_iommu=on"),
        line(INTEL, "intel_iommu=igfx_off"),  # DB403
        line(INTEL, "intel_iomu=on"),  # DB406
        line(INTEL, "iommu=off"),  # DB402
        line(of(), "quiet"),
        line(DEBIAN, "quiet"),
        host(line(INTEL, "quiet"), distribution="gentoo"),
        host(line(INTEL, "quiet"), facts=None),
        replace(line(INTEL, "quiet"), origin=Origin.FILES, board=SEEN),
    ],
)
def test_the_iommu_is_on_or_the_cause_has_a_name(setup: Setup) -> None:
    assert brief(iommu.iommu_never_on, setup) == []


INTEGRATED = functions(functions(DEBIAN, "05:00.0", passed=True), "01:00.0", passed=False)


def igpu(setup: Setup, *, bus: int = 0) -> Setup:
    assert setup.board is not None
    display = next(one for one in setup.board.functions if str(one.address) == "05:00.0")
    return functions(setup, "05:00.0", address=replace(display.address, bus=bus, device=2))


def test_integrated_graphics_of_debian_need_the_parameter() -> None:
    setup = line(igpu(INTEGRATED), "quiet")
    assert brief(iommu.integrated_left_out, setup) == [
        ("error", "00:02.0 is passed through, but debian's kernels leave it out of VT-d")
    ]
    assert edits(iommu.integrated_left_out, setup) == [("add after", "quiet", "intel_iommu=on")]


@pytest.mark.parametrize(
    "setup",
    [
        line(igpu(INTEGRATED), "intel_iommu=on"),
        line(igpu(DEBIAN), "quiet"),
        line(igpu(INTEGRATED, bus=3), "quiet"),
        host(line(igpu(INTEGRATED), "quiet"), distribution="arch"),
        host(line(igpu(INTEGRATED), "quiet"), facts=None),
        line(INTEL, "quiet"),
    ],
)
def test_other_graphics_do_not(setup: Setup) -> None:
    assert brief(iommu.integrated_left_out, setup) == []


def test_igfx_off_for_graphics_that_are_passed() -> None:
    setup = line(igpu(INTEGRATED), "intel_iommu=on,igfx_off")
    assert brief(iommu.integrated_turned_off, setup) == [
        ("error", "intel_iommu=on,igfx_off leaves 00:02.0, which is passed through, out of VT-d")
    ]
    assert edits(iommu.integrated_turned_off, setup) == [
        ("replace", "intel_iommu=on,igfx_off", "intel_iommu=on")
    ]
    alone = line(igpu(INTEGRATED), "intel_iommu=igfx_off")
    assert edits(iommu.integrated_turned_off, alone) == [
        ("replace", "intel_iommu=igfx_off", "intel_iommu=on")
    ]
    assert brief(iommu.integrated_left_out, alone) == []
    assert brief(iommu.integrated_turned_off, line(INTEL, "intel_iommu=on,igfx_off")) == []


UNSAFE = "allow_unsafe_interrupts"


@pytest.mark.parametrize("parameter", ["intremap=off", "nointremap", "intremap=nosid,off"])
def test_interrupts_are_not_remapped(parameter: str) -> None:
    setup = line(INTEL, parameter)
    assert brief(iommu.interrupts_not_remapped, setup) == [
        ("error", f"{parameter} turns interrupt remapping off")
    ]
    assert edits(iommu.interrupts_not_remapped, setup) == [("remove", parameter, "")]
    unsafe = line(INTEL, parameter, f"vfio_iommu_type1.{UNSAFE}=1")
    assert brief(iommu.interrupts_not_remapped, unsafe) == []
    unsafe = modprobe(setup, options=(option("vfio_iommu_type1", UNSAFE, "1"),))
    assert brief(iommu.interrupts_not_remapped, unsafe) == []


def test_interrupts_are_remapped() -> None:
    assert brief(iommu.interrupts_not_remapped, line(INTEL, "intremap=nosid", "intremap=on")) == []


@pytest.mark.parametrize("rule", iommu.RULES, ids=lambda rule: str(rule.code))
def test_silent_where_nothing_is_known(rule: Rule) -> None:
    bare = host(of(), command_line=None, cpu_vendor=None, distribution=None, modprobe=None)
    assert brief(rule, replace(bare, board=None)) == []
