"""Options of the vfio modules, words that are mistyped, the picture of the firmware."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.facts import parameters, table
from pipeline.facts.drivers import brings, competing, names
from pipeline.facts.kernels import iommu_default
from pipeline.pci import IdPair


def test_options_of_modules() -> None:
    assert "ids" in parameters.options("vfio_pci")
    assert "ids" not in parameters.options("vfio")
    assert parameters.options("amdgpu") == ()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("vfio_pic", "vfio_pci"),
        ("vfio_iommu_typ1", "vfio_iommu_type1"),
        ("vfio_pci", None),
        ("virtio_pci", None),
        ("nvme", None),
        ("", None),
    ],
)
def test_modules_that_are_meant(written: str, meant: str | None) -> None:
    assert parameters.meant_module(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("intel_iomu", "intel_iommu"),
        ("intel-iommu", None),
        ("vfio_pci.idss", "vfio-pci.ids"),
        ("VFIO.ids", None),
        ("vfio.ids", "vfio-pci.ids"),
        ("hugepage", None),
        ("ioomu", None),
        ("", None),
    ],
)
def test_parameters_that_are_meant(written: str, meant: str | None) -> None:
    assert parameters.meant_parameter(written) == meant


@given(st.text(max_size=30))
def test_every_word_is_taken(word: str) -> None:
    meant = parameters.meant_parameter(word)
    assert meant is None or meant.replace("-", "_") in parameters.passthrough_names()


def test_every_mistake_means_something_that_there_is() -> None:
    for entry in table("parameters")["mistake"]:
        assert entry["meant"].replace("-", "_") in parameters.passthrough_names()
        assert entry["written"].replace("-", "_") not in parameters.passthrough_names()


def test_readers() -> None:
    known = parameters.reader("rd.driver.pre")
    assert known is not None
    assert known.generator == "dracut"
    assert parameters.reader("quiet") is None


def test_the_picture_of_the_firmware() -> None:
    efifb = next(one for one in parameters.framebuffers() if one.driver == "efifb")
    assert (efifb.reliable("5.13"), efifb.reliable("5.14")) == (True, False)
    assert any(one.reliable("7.0") for one in parameters.framebuffers())
    assert (parameters.picture_released("5.19"), parameters.picture_released("6.0")) == (False, True)
    assert "vfio_pci_core" in parameters.picture_source()


def test_defaults_of_the_iommu() -> None:
    debian = iommu_default("intel", distribution="debian")
    fedora = iommu_default("intel", distribution="fedora")
    arch = iommu_default("intel", distribution="arch")
    assert debian and fedora and arch
    assert (debian.integrated, fedora.integrated, arch.integrated) == ("intel_iommu=on", "", "")
    assert iommu_default("intel", distribution="gentoo") is None


def test_drivers_that_come_along() -> None:
    assert brings("nvidia_drm") == "nvidia"
    assert brings("amdgpu") is None
    for entry in table("drivers")["dependent"]:
        assert entry["driver"] in names()


def test_two_ranges_of_one_driver() -> None:
    assert competing(IdPair.parse("1002:3150"), "0300") == ("amdgpu", "radeon")
    assert competing(IdPair.parse("1002:3149"), "0300") == ("amdgpu",)
