"""Boot loaders: each rule firing, and silent beside it."""

import pytest

from pipeline.errors import Place
from pipeline.lint import loaders
from pipeline.lint.rule import Rule
from pipeline.setup import Setup
from pipeline.setup.model import CommandLine, GrubState, Parameters
from tests.unit.lint.setups import GRUB, brief, complete, edits, host, line, of, words, written

ENTRY = "boot/loader/entries/arch.conf"


def beside(*parameters: str, used: tuple[str, ...] = ("quiet",)) -> Setup:
    """systemd-boot in use, and GRUB's file beside it."""
    there = CommandLine(parameters=words(*used, file=ENTRY), where=Place(file=ENTRY, line=5), shown=ENTRY)
    other = Parameters(loader="GRUB", parameters=words(*parameters), place=Place(file=GRUB, line=6))
    return host(of("arch-systemd-boot"), command_line=there, other_loaders=(other,))


def test_parameters_of_a_loader_that_is_not_used() -> None:
    setup = beside("quiet", "intel_iommu=on", "vfio_pci.ids=1002:67ef", "loglevel=3")
    (finding,) = complete(loaders.other_loader, setup)
    assert (finding.severity.value, str(finding.place)) == ("warning", "etc/default/grub:2:1")
    assert finding.found == (
        "intel_iommu=on vfio_pci.ids=1002:67ef is written for GRUB, but the host boots with systemd-boot"
    )
    assert edits(loaders.other_loader, setup) == [
        ("add after", "quiet", "intel_iommu=on vfio_pci.ids=1002:67ef")
    ]
    assert str(finding.edits[0].place).startswith(ENTRY)


def test_where_the_loader_in_use_is_not_known() -> None:
    setup = host(beside("iommu=pt"), bootloader=None)
    assert brief(loaders.other_loader, setup) == [
        ("warning", "iommu=pt is written for GRUB, which the host does not boot with")
    ]


@pytest.mark.parametrize(
    "setup",
    [
        beside("quiet", "loglevel=3"),
        beside("iommu=pt", "vfio-pci.ids=1002:67ef", used=("iommu=pt", "vfio-pci.ids=1002:67ef,1002:aae0")),
        host(beside("iommu=pt"), command_line=None),
        host(beside("iommu=pt"), other_loaders=()),
    ],
)
def test_nothing_lost_to_another_loader(setup: Setup) -> None:
    assert brief(loaders.other_loader, setup) == []


def grub(setup: Setup, **changes: object) -> Setup:
    return host(setup, grub=GrubState(**changes))  # type: ignore[arg-type]


def test_grub_cfg_is_older() -> None:
    (finding,) = complete(loaders.grub_cfg_older, grub(of(), missing=words("quiet", "amd_iommu=on")))
    assert (finding.severity.value, finding.found) == ("error", "no entry of grub.cfg has quiet amd_iommu=on")
    assert finding.fix == "run grub-mkconfig -o /boot/grub/grub.cfg as root"
    (finding,) = complete(loaders.grub_cfg_older, grub(of("debian-geforce"), missing=words("splash")))
    assert (finding.severity.value, finding.fix) == ("warning", "run update-grub as root")


def test_fedora_s_boot_entries() -> None:
    (finding,) = complete(
        loaders.grub_cfg_older, grub(of("fedora-dracut"), missing=words("iommu=pt", "quiet"))
    )
    assert finding.found == "no boot entry has iommu=pt quiet"
    assert finding.fix == 'run grubby --update-kernel=ALL --args="iommu=pt quiet" as root'


@pytest.mark.parametrize(
    "setup",
    [
        grub(of(), missing=()),
        grub(of(), missing=None),
        grub(of("arch-systemd-boot"), missing=words("iommu=pt")),
    ],
)
def test_grub_cfg_is_new_or_not_used(setup: Setup) -> None:
    assert brief(loaders.grub_cfg_older, setup) == []


def test_quotation_marks_in_grub_s_file() -> None:
    broken = (
        written("the quotation mark is never closed", text='GRUB_CMDLINE_LINUX_DEFAULT="quiet iommu=pt'),
    )
    assert brief(loaders.grub_file_broken, grub(of(), broken=broken)) == [
        ("error", "the shell does not read this line as meant: the quotation mark is never closed")
    ]
    assert brief(loaders.grub_file_broken, grub(of("arch-uki"), broken=broken)) == []
    assert brief(loaders.grub_file_broken, of()) == []


@pytest.mark.parametrize(
    ("name", "command", "expected"),
    [
        (
            "fedora-dracut",
            "sudo grub2-mkconfig -o /boot/efi/EFI/fedora/grub.cfg",
            [("warning", "grub2-mkconfig writes to /boot/efi/EFI/fedora/grub.cfg")],
        ),
        ("rx560", "grub-mkconfig", [("warning", "grub-mkconfig writes to no file")]),
        (
            "rx560",
            "grub-mkconfig --output=/boot/grub2/grub.cfg",
            [("note", "grub-mkconfig writes to /boot/grub2/grub.cfg")],
        ),
        ("rx560", "grub-mkconfig -o /boot/grub/grub.cfg", []),
        ("rx560", "grub-mkconfig > /boot/grub/grub.cfg", []),
        ("rx560", "update-grub", []),
        ("fedora-dracut", "grub2-mkconfig -o /etc/grub2-efi.cfg", []),
        ("arch-systemd-boot", "grub-mkconfig", []),
    ],
)
def test_where_grub_cfg_is_written(name: str, command: str, expected: list[tuple[str, str]]) -> None:
    assert brief(loaders.grub_cfg_elsewhere, host(of(name), commands=words(command))) == expected


@pytest.mark.parametrize("rule", loaders.RULES, ids=lambda rule: str(rule.code))
def test_silent_where_nothing_is_known(rule: Rule) -> None:
    assert brief(rule, host(line(of(), "quiet"), command_line=None, facts=None)) == []
