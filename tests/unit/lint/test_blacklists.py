"""Blacklists: each rule firing, and silent beside it."""

import pytest

from pipeline.lint import blacklists
from pipeline.setup import Setup
from tests.unit.lint.setups import brief, edits, functions, initramfs, line, modprobe, of, words

FILE = "etc/modprobe.d/blacklist.conf"


def out(*modules: str, setup: Setup | None = None, file: str = FILE) -> Setup:
    return modprobe(setup or of(), blacklists=words(*modules, file=file))


@pytest.mark.parametrize(
    ("setup", "found"),
    [
        (out("vfio-pci"), "vfio_pci is blacklisted"),
        (line(of(), "modprobe.blacklist=nouveau,vfio_iommu_type1"), "vfio_iommu_type1 is blacklisted"),
        (line(of(), "module_blacklist=vfio_pci"), "vfio_pci is blacklisted"),
        (line(of("fedora-dracut"), "rd.driver.blacklist=vfio-pci"), "vfio_pci is blacklisted"),
    ],
)
def test_vfio_is_kept_out(setup: Setup, found: str) -> None:
    assert brief(blacklists.vfio_kept_out, setup) == [("error", found)]


def test_the_list_without_vfio() -> None:
    assert edits(blacklists.vfio_kept_out, line(of(), "modprobe.blacklist=nouveau,vfio-pci")) == [
        ("replace", "modprobe.blacklist=nouveau,vfio-pci", "modprobe.blacklist=nouveau")
    ]
    assert edits(blacklists.vfio_kept_out, line(of(), "module_blacklist=vfio-pci")) == [
        ("remove", "module_blacklist=vfio-pci", "")
    ]
    assert edits(blacklists.vfio_kept_out, out("vfio-pci")) == []


def test_other_modules_may_be_kept_out() -> None:
    assert brief(blacklists.vfio_kept_out, line(out("nouveau"), "modprobe.blacklist=amdgpu")) == []


def test_the_driver_of_the_host_s_own_screen() -> None:
    assert brief(blacklists.own_driver_kept_out, out("amdgpu")) == [
        ("warning", "amdgpu is blacklisted, and 05:00.0, which the host keeps, has no other")
    ]
    assert brief(blacklists.own_driver_kept_out, out("e1000e", "igb")) == [
        ("note", "e1000e is blacklisted, and 04:00.0, which the host keeps, has no other")
    ]
    assert edits(blacklists.own_driver_kept_out, line(of(), "modprobe.blacklist=amdgpu")) == [
        ("remove", "modprobe.blacklist=amdgpu", "")
    ]


@pytest.mark.parametrize(
    "setup",
    [
        out("nouveau", "nvidia", setup=of("intel-geforce")),
        out("amdgpu", setup=functions(of(), "05:00.0", drivers=("amdgpu", "radeon"))),
        out("amdgpu", setup=functions(of(), "05:00.0", in_use="simpledrm")),
        out("amdgpu", setup=functions(of(), "05:00.0", drivers=())),
        out("igb"),
    ],
)
def test_the_host_keeps_its_drivers(setup: Setup) -> None:
    assert brief(blacklists.own_driver_kept_out, setup) == []


def test_a_driver_in_use_that_is_blacklisted_counts() -> None:
    setup = out("amdgpu", setup=functions(of(), "05:00.0", in_use="amdgpu"))
    assert len(brief(blacklists.own_driver_kept_out, setup)) == 1


def test_the_guest_s_driver_need_not_be_kept_out() -> None:
    setup = line(out("nouveau", setup=of("intel-geforce")), "modprobe.blacklist=nouveau")
    assert brief(blacklists.guest_driver_kept_out, setup) == [
        ("note", "nouveau is blacklisted, but vfio-pci has 01:00.0 before it anyway")
    ]


@pytest.mark.parametrize(
    "setup",
    [
        out("amdgpu"),  # the host's own card needs it: DB111
        out("nouveau"),
        out("nouveau", setup=of("intel-geforce"), file="usr/lib/modprobe.d/nvidia.conf"),
        out("nouveau", setup=initramfs(of("intel-geforce"), modules=())),
        out("nouveau", setup=modprobe(of("intel-geforce"), vfio_ids=())),
    ],
)
def test_nothing_to_say_of_the_guest_s_driver(setup: Setup) -> None:
    assert brief(blacklists.guest_driver_kept_out, setup) == []
