"""Which boot loader is in use, and what the others would pass."""

from __future__ import annotations

import pytest

from pipeline.setup.model import Setup
from tests.machines import setup_of

GRUB = {"etc/default/grub": "GRUB_CMDLINE_LINUX=by-grub\n"}
CONFIG = {"boot/grub/grub.cfg": "linux /x\n"}
ENTRIES = {
    "boot/loader/loader.conf": "default arch.conf\n",
    "boot/loader/entries/arch.conf": "linux /x\noptions by-entry\noptions second\n",
    "boot/loader/entries/zz.conf": "linux /x\noptions other\n",
}
CMDLINE = {"etc/kernel/cmdline": "# comment\nby-cmdline quiet\n"}
IMAGE = {"boot/EFI/Linux/arch.efi": ""}


def line(setup: Setup) -> list[str]:
    found = setup.host.command_line
    return [one.value for one in found.parameters] if found else []


@pytest.mark.parametrize(
    ("files", "loader", "expected", "others"),
    [
        (GRUB, "grub", ["by-grub"], []),
        ({**GRUB, **CONFIG}, "grub", ["by-grub"], []),
        (ENTRIES, "systemd-boot", ["by-entry", "second"], []),
        ({**ENTRIES, **GRUB}, "systemd-boot", ["by-entry", "second"], ["grub"]),
        ({**ENTRIES, **GRUB, **CONFIG}, "systemd-boot", ["by-entry", "second"], ["grub"]),
        (
            {**ENTRIES, **GRUB, **CONFIG, "boot/EFI/arch/grubx64.efi": ""},
            "grub",
            ["by-grub"],
            ["systemd-boot"],
        ),
        ({**ENTRIES, **CMDLINE}, "systemd-boot", ["by-entry", "second"], []),
        (CMDLINE, "uki", ["by-cmdline", "quiet"], []),
        ({**CMDLINE, **IMAGE}, "uki", ["by-cmdline", "quiet"], []),
        ({**CMDLINE, **IMAGE, **GRUB}, "uki", ["by-cmdline", "quiet"], ["grub"]),
        ({**CMDLINE, **GRUB, **CONFIG}, "grub", ["by-grub"], ["uki"]),
        (
            {**CMDLINE, **IMAGE, "boot/loader/loader.conf": "default arch.efi\n"},
            "uki",
            ["by-cmdline", "quiet"],
            [],
        ),
        ({"boot/EFI/systemd/systemd-bootx64.efi": "", **GRUB}, "systemd-boot", [], ["grub"]),
        ({}, None, [], []),
    ],
)
def test_which(files: dict[str, str], loader: str | None, expected: list[str], others: list[str]) -> None:
    setup = setup_of(files)
    assert setup.host.bootloader == loader
    assert line(setup) == expected
    assert [one.loader for one in setup.host.other_loaders] == others


def test_both_at_once_is_said() -> None:
    assert any("grub.cfg" in one.what for one in setup_of({**ENTRIES, **GRUB, **CONFIG}).unread)


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ("default zz\n", "other"),
        ("default z*\n", "other"),
        ("timeout 3\n", "other"),
        ("default none\n", "other"),
    ],
)
def test_the_default_entry(default: str, expected: str) -> None:
    assert line(setup_of({**ENTRIES, "boot/loader/loader.conf": default})) == [expected]


def test_a_fallback_is_not_what_is_started() -> None:
    files = {
        "boot/loader/entries/a.conf": "options a\n",
        "boot/loader/entries/b-fallback.conf": "options b\n",
    }
    assert line(setup_of(files)) == ["a"]


def test_places_of_an_entry() -> None:
    found = setup_of(ENTRIES).host.command_line
    assert found is not None
    assert [str(one.place) for one in found.parameters] == [
        "m/boot/loader/entries/arch.conf:2:9",
        "m/boot/loader/entries/arch.conf:3:9",
    ]
    assert str(found.where) == "m/boot/loader/entries/arch.conf:3:1"


def test_what_writes_the_entries_is_the_place_to_change() -> None:
    found = setup_of({**ENTRIES, "etc/sdboot-manage.conf": '# x\nLINUX_OPTIONS="a b"\n'}).host.command_line
    assert found is not None
    assert [one.value for one in found.parameters] == ["by-entry", "second"]
    assert str(found.where) == "m/etc/sdboot-manage.conf:2:1"


def test_a_preset_names_image_and_line() -> None:
    preset = "PRESETS=(default)\ndefault_uki=/efi/EFI/Linux/a.efi\ndefault_options='--cmdline /etc/own'\n"
    setup = setup_of({"etc/mkinitcpio.d/linux.preset": preset, "etc/own": 'a "b=c d"\n', **CMDLINE})
    assert setup.host.bootloader == "uki"
    assert line(setup) == ["a", '"b=c d"']


def test_a_directory_of_lines() -> None:
    setup = setup_of({"etc/cmdline.d/b.conf": "b\n", "etc/cmdline.d/a.conf": "a\n", **IMAGE})
    assert line(setup) == ["a", "b"]
