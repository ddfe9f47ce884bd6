"""GRUB's command line, what is broken in it, and what of it grub.cfg lacks."""

from __future__ import annotations

import pytest

from pipeline.setup.model import GrubState, Setup
from tests.machines import machine, setup_of

DEBIAN = 'ID=debian\nVERSION_ID="12"\n'


def parameters(setup: Setup) -> list[tuple[str, str]] | None:
    line = setup.host.command_line
    return None if line is None else [(one.value, str(one.place)) for one in line.parameters]


def test_the_line_and_its_places() -> None:
    setup = machine()
    assert parameters(setup) == [
        ("audit=0", "m/etc/default/grub:2:21"),
        ("hugepages=4", "m/etc/default/grub.d/10-more.cfg:1:41"),
        ("quiet", "m/etc/default/grub:1:29"),
        ("iommu=pt", "m/etc/default/grub:1:35"),
    ]
    line = setup.host.command_line
    assert line is not None
    assert str(line.where) == "m/etc/default/grub:1:1"
    assert line.shown == "GRUB_CMDLINE_LINUX_DEFAULT"


def test_drop_ins_are_read_in_order() -> None:
    setup = setup_of(
        {
            "etc/default/grub": "GRUB_CMDLINE_LINUX=a\n",
            "etc/default/grub.d/20.cfg": "GRUB_CMDLINE_LINUX=c\n",
            "etc/default/grub.d/10.cfg": "GRUB_CMDLINE_LINUX=b\n",
            "etc/default/grub.d/30.disabled": "GRUB_CMDLINE_LINUX=d\n",
        }
    )
    assert parameters(setup) == [("c", "m/etc/default/grub.d/20.cfg:1:20")]


def test_what_grub_cfg_has_not() -> None:
    missing = machine().host.grub.missing
    assert [(one.value, str(one.place)) for one in missing or ()] == [("iommu=pt", "m/etc/default/grub:1:35")]
    assert machine(boot__grub__grub_dot_cfg=None).host.grub.missing is None
    assert (
        machine(boot__grub__grub_dot_cfg="linux /x audit=0 hugepages=4 quiet iommu=pt\n").host.grub.missing
        == ()
    )


@pytest.mark.parametrize(
    ("content", "place", "part", "known"),
    [
        ('GRUB_CMDLINE_LINUX_DEFAULT="quiet\nGRUB_CMDLINE_LINUX=""\n', "1:28", "no end", False),
        ("GRUB_CMDLINE_LINUX_DEFAULT=quiet amd_iommu=on\n", "1:34", "another variable", True),
        ("GRUB_CMDLINE_LINUX_DEFAULT=quiet iommu\n", "1:34", "as a command", False),
        ("GRUB_CMDLINE_LINUX_DEFAULT = quiet\n", "1:1", "before the =", False),
        ("GRUB_CMDLINE_LINUX_DEFAULT=“quiet iommu=pt”\n", "1:1", "no quote", True),
        ('GRUB_CMDLINE_LINUX_DEFAULT="quiet"\r\n', "1:1", "CR LF", True),
    ],
)
def test_broken_lines(content: str, place: str, part: str, known: bool) -> None:
    setup = setup_of({"etc/default/grub": content})
    assert [str(one.place) for one in setup.host.grub.broken if part in one.value] == [
        f"m/etc/default/grub:{place}"
    ]
    assert (setup.host.command_line is not None) is known


def test_a_sound_file_has_no_broken_line() -> None:
    assert machine().host.grub.broken == ()


def test_dash_has_no_addition() -> None:
    files = {"etc/default/grub": 'GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX+=" b"\n'}
    assert setup_of(files).host.grub == GrubState()
    (broken,) = setup_of({**files, "etc/os-release": DEBIAN}).host.grub.broken
    assert str(broken.place) == "m/etc/default/grub:2:1"


def test_a_value_that_only_running_tells() -> None:
    setup = setup_of({"etc/default/grub": 'GRUB_CMDLINE_LINUX="$(cat /etc/parameters)"\n'})
    assert setup.host.bootloader == "grub"
    assert setup.host.command_line is None
    assert [str(one.place) for one in setup.unread] == ["m/etc/default/grub:1:21"]


def test_fedoras_entries_hold_the_line() -> None:
    files = {
        "etc/os-release": "ID=fedora\n",
        "etc/default/grub": 'GRUB_CMDLINE_LINUX="rhgb iommu=pt"\nGRUB_ENABLE_BLSCFG=true\n',
        "boot/grub2/grub.cfg": "blscfg\n",
        "boot/loader/entries/a-0-rescue.conf": "options root=x rescue\n",
        "boot/loader/entries/a-6.9.conf": "version 6.9\noptions root=x old\n",
        "boot/loader/entries/a-6.12.conf": "version 6.12\nlinux /v\noptions root=x rhgb\n",
    }
    setup = setup_of(files)
    assert setup.host.bootloader == "grub"
    assert parameters(setup) == [
        ("root=x", "m/boot/loader/entries/a-6.12.conf:3:9"),
        ("rhgb", "m/boot/loader/entries/a-6.12.conf:3:16"),
    ]
    assert [one.value for one in setup.host.grub.missing or ()] == ["iommu=pt"]
    assert setup.host.other_loaders == ()


def test_grubenv_holds_the_line() -> None:
    files = {
        "etc/default/grub": 'GRUB_CMDLINE_LINUX="rhgb iommu=pt"\nGRUB_ENABLE_BLSCFG=true\n',
        "boot/loader/entries/a.conf": "options $kernelopts\n",
        "boot/grub2/grub.cfg": "blscfg\n",
        "boot/grub2/grubenv": "# GRUB\nkernelopts=root=x rhgb\n",
    }
    setup = setup_of(files)
    assert [one.value for one in setup.host.grub.missing or ()] == ["iommu=pt"]
