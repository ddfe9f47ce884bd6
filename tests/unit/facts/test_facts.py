"""The data: every entry says where it comes from."""

from collections.abc import Iterator
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest

from pipeline.facts import distributions, drivers, initramfs, kernels, table
from pipeline.facts.version import parts
from pipeline.pci import IdPair

DATA = files("pipeline.facts") / "data"
DISTRIBUTIONS = sorted(path.name.removesuffix(".toml") for path in (DATA / "distributions").iterdir())
TABLES = sorted(path.name.removesuffix(".toml") for path in DATA.iterdir() if path.is_file())
TABLES += [f"distributions/{name}" for name in DISTRIBUTIONS]


def entries(name: str) -> Iterator[dict[str, Any]]:
    for value in table(name).values():
        yield from value if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", TABLES)
def test_every_entry_has_a_source(name: str) -> None:
    assert [entry for entry in entries(name) if not entry.get("source")] == []


def test_versions_compare_as_numbers() -> None:
    assert parts("6.2") < parts("6.12") < parts("10.0")
    with pytest.raises(ValueError, match="invalid literal"):
        parts("6.x")


@pytest.mark.parametrize(
    ("kernel", "modules"),
    [
        ("4.19", ("vfio_pci", "vfio", "vfio_iommu_type1", "vfio_virqfd")),
        ("6.1", ("vfio_pci", "vfio", "vfio_iommu_type1", "vfio_virqfd")),
        ("6.2", ("vfio_pci", "vfio", "vfio_iommu_type1")),
        ("6.12", ("vfio_pci", "vfio", "vfio_iommu_type1")),
    ],
)
def test_vfio_modules(kernel: str, modules: tuple[str, ...]) -> None:
    assert kernels.vfio_modules(kernel) == modules


def test_removal_knows_every_spelling() -> None:
    assert kernels.removal("vfio-virqfd?", kernel="6.12") is not None
    assert kernels.removal("vfio_virqfd", kernel="6.1") is None
    assert kernels.removal("amdgpu", kernel="6.12") is None


@pytest.mark.parametrize(
    ("parameter", "vendor", "off"),
    [
        ("amd_iommu=off", "amd", True),
        ("amd_iommu=fullflush,off", "amd", True),
        ("amd_iommu=off", "intel", False),
        ("intel_iommu=off", "intel", True),
        ("intel_iommu=off", "amd", False),
        ("iommu=off", "amd", True),
        ("iommu=pt", "amd", False),
        ("amd_iommu=on", "amd", False),
        ("off", "amd", False),
    ],
)
def test_iommu_off(parameter: str, vendor: str, off: bool) -> None:
    assert kernels.turns_iommu_off(parameter, vendor=vendor) is off


def test_built_in_drivers_depend_on_the_kernel() -> None:
    assert set(kernels.built_in("manjaro", "6.12")) == {"xhci_pci", "ahci"}
    assert set(kernels.built_in("manjaro", "4.19")) == {"nvme"}
    assert kernels.built_in("manjaro", "6.1") == {}
    assert kernels.built_in("debian", "6.12") == {}
    assert kernels.driver_state("debian", "6.12", "xhci-pci").state == "module"
    assert kernels.driver_state("debian", "6.12", "simpledrm").state == "unknown"
    assert kernels.driver_state("fedora", "6.12", "ahci").state == "built-in"
    assert kernels.driver_state("fedora", "6.12", "vfio-pci").state == "module"
    assert kernels.driver_state("fedora", "5.4", "ahci").state == "unknown"
    assert kernels.driver_state("ubuntu", "5.4", "vfio-pci").state == "built-in"


def test_end_of_life() -> None:
    assert kernels.end_of_life("4.19") == ("2024-12-05", "kernel.org, longterm releases")
    assert kernels.end_of_life("6.12") is None


def test_parameters() -> None:
    assert kernels.parameter("quiet") is None
    for name in DISTRIBUTIONS:
        assert kernels.iommu_parameters("amd", distribution=name) == ()
    needed = {name: kernels.iommu_parameters("intel", distribution=name) for name in DISTRIBUTIONS}
    on = ("intel_iommu=on",)
    assert needed == {"arch": on, "debian": (), "fedora": on, "manjaro": on}


@pytest.mark.parametrize(
    ("ids", "class_code", "names"),
    [
        ("1002:67ef", "030000", ("amdgpu",)),
        ("1002:5159", "0300", ("amdgpu", "radeon")),
        ("1002:1304", "0300", ("amdgpu", "radeon")),
        ("1002:15dd", "0300", ("amdgpu",)),
        ("1002:aae0", "0403", ("snd_hda_intel",)),
        ("10de:1b80", "0300", ("nouveau", "nvidia")),
        ("1022:15e0", "0c0330", ("xhci_pci",)),
        ("1234:1111", "ff0000", ()),
    ],
)
def test_competing_drivers(ids: str, class_code: str, names: tuple[str, ...]) -> None:
    assert drivers.competing(IdPair.parse(ids), class_code) == names


def test_generations_of_a_distribution() -> None:
    old = distributions.distribution("manjaro", year=2019, kernel="4.19")
    new = distributions.distribution("manjaro", year=2026, kernel="6.12")
    assert old.initramfs_image == "/boot/initramfs-4.19-x86_64.img"
    assert old.preset == "/etc/mkinitcpio.d/linux419.preset"
    assert old.fallback_by_default
    assert new.preset == "/etc/mkinitcpio.d/linux612.preset"
    assert new.ovmf_code == "/usr/share/edk2/x64/OVMF_CODE.4m.fd"
    assert not new.fallback_by_default
    for year, name in [(2018, "manjaro"), (2026, "gentoo")]:
        with pytest.raises(LookupError, match=f"no facts about {name} in {year}"):
            distributions.distribution(name, year=year, kernel="6.12")


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_years_of_generations_neither_overlap_nor_leave_gaps(name: str) -> None:
    generations = table(f"distributions/{name}")["generation"]
    years = sorted((entry["from_year"], entry["until_year"]) for entry in generations)
    assert all(earlier[1] + 1 == later[0] for earlier, later in pairwise(years))
    assert years[-1][1] == 2099


def every_generation() -> list[distributions.Distribution]:
    return [
        distributions.distribution(name, year=entry["from_year"], kernel="6.12")
        for name in DISTRIBUTIONS
        for entry in table(f"distributions/{name}")["generation"]
    ]


def test_hooks_of_the_distributions_are_known() -> None:
    for one in every_generation():
        assert set(one.hooks) <= initramfs.hooks("mkinitcpio")
        assert bool(one.hooks) is bool(one.preset) is ("mkinitcpio" in one.generators)
    assert initramfs.hooks("dracut") == frozenset()


def test_every_key_of_a_generation_is_read() -> None:
    known = set(distributions.Distribution.__dataclass_fields__) | {"from_year", "until_year"}
    for name in DISTRIBUTIONS:
        for entry in table(f"distributions/{name}")["generation"]:
            assert set(entry) <= known


def test_generators_and_loaders_of_the_distributions_have_facts() -> None:
    for one in every_generation():
        assert [initramfs.generator(name).name for name in one.generators] == list(one.generators)
        assert set(one.bootloaders) <= {"grub", "systemd-boot", "uki"}
        assert bool(one.uki) is ("uki" in one.bootloaders)
    with pytest.raises(LookupError, match="booster"):
        initramfs.generator("booster")


def test_the_release_of_the_kernel_is_filled_in_where_paths_have_it() -> None:
    debian = distributions.distribution("debian", year=2026, kernel="6.12")
    assert debian.release_in_paths
    assert debian.initramfs_image == "/boot/initrd.img-{release}"
    there = debian.at("6.12.9-amd64")
    assert (there.kernel_image, there.initramfs_image) == (
        "/boot/vmlinuz-6.12.9-amd64",
        "/boot/initrd.img-6.12.9-amd64",
    )
    assert not there.release_in_paths
    arch = distributions.distribution("arch", year=2026, kernel="6.12")
    assert arch.at("6.12.9") == arch
