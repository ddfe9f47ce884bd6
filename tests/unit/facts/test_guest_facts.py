"""What is known of firmware images, systems of guests, and cards that do not come back from a reset."""

import re

import pytest

from pipeline.facts import table
from pipeline.facts.distributions import distribution, ovmf_elsewhere
from pipeline.facts.firmware import image
from pipeline.facts.guests import by_id, by_name
from pipeline.facts.reset import stuck
from pipeline.pci import IdPair

GENERATIONS = [("manjaro", 2019), ("manjaro", 2026), ("arch", 2024), ("arch", 2026)]
GENERATIONS += [("debian", 2023), ("debian", 2026), ("fedora", 2026)]


@pytest.mark.parametrize(
    ("path", "size", "secure_boot", "keys"),
    [
        ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", 4, False, False),
        ("/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd", 4, True, False),
        ("/usr/share/OVMF/OVMF_CODE_4M.ms.fd", 4, True, False),
        ("/usr/share/OVMF/OVMF_CODE_4M.secboot.strictnx.fd", 4, True, False),
        ("/usr/share/OVMF/OVMF_VARS_4M.ms.fd", 4, False, True),
        ("/usr/share/edk2/ovmf/OVMF_VARS_4M.secboot.qcow2", 4, False, True),
        ("/usr/share/ovmf/x64/OVMF_CODE.fd", 2, False, False),
        ("/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd", 2, False, True),
        ("OVMF_VARS.fd", 2, False, False),
    ],
)
def test_images_by_name(path, size, secure_boot, keys):
    one = image(path)
    assert one is not None
    assert (one.size, one.secure_boot, one.keys) == (size, secure_boot, keys)


@pytest.mark.parametrize("path", ["/srv/win10_VARS.fd", "OVMF_CODE.fd.bak", "xOVMF_CODE.fd", ""])
def test_other_names_say_nothing(path):
    assert image(path) is None


@pytest.mark.parametrize(("name", "year"), GENERATIONS)
def test_every_image_of_a_distribution_is_known_and_code_fits_variables(name, year):
    facts = distribution(name, year=year, kernel="6.12")
    assert all(image(path) for path in facts.ovmf_images)
    assert facts.ovmf_images <= ovmf_elsewhere().keys()
    code, variables = image(facts.ovmf_code), image(facts.ovmf_vars)
    assert code and variables
    assert code.size == variables.size
    named = {f"{where}/{one}" for where in facts.ovmf_directories for one in facts.ovmf_names}
    assert {facts.ovmf_code, facts.ovmf_vars} <= named


def test_debian_dropped_the_images_of_2_mib():
    paths = [distribution("debian", year=year, kernel="6.12").ovmf_images for year in (2023, 2026)]
    assert ["/usr/share/OVMF/OVMF_CODE.fd" in one for one in paths] == [True, False]


def test_systems():
    assert by_id("http://microsoft.com/win/10") == "windows10"
    assert by_id("http://microsoft.com/win/2k22") == "windows"
    assert by_id("http://debian.org/debian/13") == "linux"
    assert by_id("http://freebsd.org/freebsd/14.0") is None
    assert [by_name(name) for name in ("Win-11", "w10-gaming", "my-debian", "darwin", "")] == [
        "windows11",
        "windows10",
        "linux",
        None,
        None,
    ]


def test_cards_that_do_not_come_back():
    assert (stuck(IdPair.parse("1002:731f")) or pytest.fail()).name == "Navi 10"
    for harmless in ("1002:67ef", "1002:73ff", "10de:731f", "1002:15dd"):
        assert stuck(IdPair.parse(harmless)) is None
    ids = [device for family in table("reset")["family"] for device in family["devices"]]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch("[0-9a-f]{4}", one) for one in ids)
