from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.lab.initcpio import bash
from pipeline.lab.initcpio.config import Config, Preset, in_order, read_config, read_preset


def config(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "mkinitcpio.conf"
    path.write_text(text)
    return read_config(path)


def preset(tmp_path: Path, text: str) -> tuple[Preset, ...]:
    path = tmp_path / "linux.preset"
    path.write_text(text)
    return read_preset(path)


def test_the_four_arrays(tmp_path: Path) -> None:
    text = (
        "MODULES=(vfio_pci vfio 'x?')\nBINARIES=(/usr/bin/true)\nFILES=(/etc/a)\nHOOKS=(base udev modconf)\n"
    )
    assert config(tmp_path, text) == Config(
        modules=("vfio_pci", "vfio", "x?"),
        binaries=("/usr/bin/true",),
        files=("/etc/a",),
        hooks=("base", "udev", "modconf"),
        systemd_modules=("vfio_pci", "vfio", "x?"),
    )


def test_empty_and_absent_arrays(tmp_path: Path) -> None:
    assert config(tmp_path, "MODULES=()\n") == Config(modules=(), binaries=(), files=(), hooks=())


def test_comments_and_arrays_over_several_lines(tmp_path: Path) -> None:
    text = "# MODULES=(no)\nMODULES=(\n  vfio_pci # first\n  vfio\n)\n"
    assert config(tmp_path, text).modules == ("vfio_pci", "vfio")


def test_values_come_back_unmangled(tmp_path: Path) -> None:
    text = r"""FILES=("/a b/c" '/new
line' /gl\*ob "/quote'd" '/dollar$(x)`y`' "" '*')"""
    assert config(tmp_path, text).files == (
        "/a b/c",
        "/new\nline",
        "/gl*ob",
        "/quote'd",
        "/dollar$(x)`y`",
        "",
        "*",
    )


def test_what_drop_ins_write_is_appended(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("MODULES+=(vfio_pci 'a b')\nHOOKS+=(kms)\n")
    text = f"MODULES=(btrfs)\nHOOKS=(base)\n. {tmp_path}/more.conf\n"
    found = config(tmp_path, text)
    assert found.modules == ("btrfs", "vfio_pci", "a b")
    assert found.hooks == ("base", "kms")


def test_nothing_of_the_environment_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODULES", "evil")
    monkeypatch.setenv("BASH_ENV", str(tmp_path / "evil"))
    (tmp_path / "evil").write_text("HOOKS=(evil)\n")
    assert config(tmp_path, "") == Config(modules=(), binaries=(), files=(), hooks=())


@pytest.mark.parametrize(
    "text", ["MODULES=(vfio\n", "if\n", 'MODULES=("vfio)\n', "false\n", "no-such-command\n"]
)
def test_what_bash_cannot_read_is_a_value_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        config(tmp_path, text)


def test_bash_says_which_line_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mkinitcpio.conf: line 2: syntax error"):
        config(tmp_path, "MODULES=()\nfi\n")


def test_a_file_that_ends_the_shell_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not come to its end"):
        config(tmp_path, "MODULES=(vfio)\nexit 0\n")
    with pytest.raises(ValueError, match="does not come to its end"):
        preset(tmp_path, "PRESETS=(default)\nexit 0\n")


def test_what_a_file_prints_is_not_taken_for_a_value(tmp_path: Path) -> None:
    assert config(tmp_path, r"printf 'MODULES\0001\0evil\0'; MODULES=(vfio)").modules == ("vfio",)
    assert preset(tmp_path, "echo hello; PRESETS=(default)") == (
        Preset(name="default", image="", kernel="", config="", options=()),
    )


def test_a_file_that_is_not_there_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        read_config(tmp_path / "none")


TEXTS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=("Cs",)) | st.sampled_from("'\"$`\\ \n*"),
    max_size=12,
)


@given(st.lists(TEXTS, max_size=4))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_quoted_values_come_back(tmp_path: Path, values: list[str]) -> None:
    quoted = " ".join("'" + value.replace("'", "'\\''") + "'" for value in values)
    assert config(tmp_path, f"FILES=({quoted})\n").files == tuple(values)


def test_a_preset_of_2019_names_the_configuration(tmp_path: Path) -> None:
    text = """\
ALL_config="/etc/mkinitcpio.conf"
ALL_kver="/boot/vmlinuz-4.19-x86_64"
PRESETS=('default' 'fallback')
default_image="/boot/initramfs-4.19-x86_64.img"
fallback_image="/boot/initramfs-4.19-x86_64-fallback.img"
fallback_options="-S autodetect"
"""
    kernel, conf = "/boot/vmlinuz-4.19-x86_64", "/etc/mkinitcpio.conf"
    assert preset(tmp_path, text) == (
        Preset(
            name="default", image="/boot/initramfs-4.19-x86_64.img", kernel=kernel, config=conf, options=()
        ),
        Preset(
            name="fallback",
            image="/boot/initramfs-4.19-x86_64-fallback.img",
            kernel=kernel,
            config=conf,
            options=("-S", "autodetect"),
        ),
    )


def test_a_preset_of_today_leaves_the_configuration_open(tmp_path: Path) -> None:
    text = """\
#ALL_config="/etc/mkinitcpio.conf"
ALL_kver="/boot/vmlinuz-6.12-x86_64"
PRESETS=('default')
default_image="/boot/initramfs-6.12-x86_64.img"
"""
    assert preset(tmp_path, text) == (
        Preset(
            name="default",
            image="/boot/initramfs-6.12-x86_64.img",
            kernel="/boot/vmlinuz-6.12-x86_64",
            config="",
            options=(),
        ),
    )


def test_an_image_s_own_values_go_before_those_of_all(tmp_path: Path) -> None:
    text = """\
ALL_config=/etc/all.conf
ALL_kver=/boot/all
PRESETS=(default)
default_config=/etc/own.conf
default_kver=/boot/own
default_options=(--splash "/a.bmp" -v)
"""
    assert preset(tmp_path, text) == (
        Preset(
            name="default",
            image="",
            kernel="/boot/own",
            config="/etc/own.conf",
            options=("--splash", "/a.bmp", "-v"),
        ),
    )


def test_a_preset_without_images_is_empty(tmp_path: Path) -> None:
    assert preset(tmp_path, "") == ()


def test_values_that_are_no_arrays_are_split_at_spaces(tmp_path: Path) -> None:
    text = "MODULES='vfio_pci  vfio'\nHOOKS=\"base *\"\nCOMPRESSION=xz\nCOMPRESSION_OPTIONS='-9 -e'\n"
    found = config(tmp_path, text)
    assert found.modules == ("vfio_pci", "vfio")
    assert found.hooks == ("base", "*")
    assert (found.compression, found.compression_options) == ("xz", ("-9", "-e"))


def test_what_one_file_leaves_open_the_next_one_closes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.conf", tmp_path / "b.conf"
    first.write_text("MODULES+=(vfio\n")
    second.write_text("vfio_pci)\nHOOKS+=(kms)\n")
    path = tmp_path / "mkinitcpio.conf"
    path.write_text("MODULES=(btrfs)\nHOOKS=(base)\n")
    found = read_config(path, drop_ins=[first, second])
    assert found.modules == ("btrfs", "vfio", "vfio_pci")
    assert found.hooks == ("base", "kms")


def test_messages_call_the_file_what_the_host_calls_it(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_text("fi\n")
    with pytest.raises(ValueError, match=r"^/etc/mkinitcpio\.conf: line 1: syntax error"):
        read_config(path, shown="/etc/mkinitcpio.conf")
    with pytest.raises(ValueError, match=r"^/etc/mkinitcpio\.conf with its drop-ins: line 1: syntax error"):
        read_config(path, shown="/etc/mkinitcpio.conf", drop_ins=[path])


@pytest.mark.parametrize(
    "text", ["sleep 600", "sleep 600 &", "while :; do :; done", "(trap '' TERM; sleep 600) & exit"]
)
def test_a_file_that_hangs_is_a_value_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(bash, "SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(ValueError, match="does not come to its end"):
        config(tmp_path, text)
    assert time.monotonic() - started < 30


def test_a_file_that_prints_without_end_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="prints more than"):
        config(tmp_path, "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done")


def test_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("old")
    text = (
        f"echo new >{tmp_path}/there; echo new >>{tmp_path}/there; echo new >{tmp_path}/fresh; MODULES=(vfio)"
    )
    assert config(tmp_path, text).modules == ("vfio",)
    assert (tmp_path / "there").read_text() == "old"
    assert (tmp_path / "fresh").read_text() == ""


def test_a_file_cannot_ask_for_input(tmp_path: Path) -> None:
    assert config(tmp_path, "read -r answer; MODULES=(vfio$answer)").modules == ("vfio",)


@given(st.lists(st.from_regex(r"\A[0-9a-z_.-]{1,6}\.conf\Z"), max_size=6))
@settings(max_examples=50)
def test_drop_ins_in_any_order_of_listing_come_in_one(names: list[str]) -> None:
    def without_zeros(name: str) -> str:
        return re.sub(r"(?<![0-9])0+(?=[0-9])", "", name)

    once = in_order(names)
    assert len(set(once)) == len(once)
    assert set(once) <= set(names)
    assert {without_zeros(name) for name in once} == {without_zeros(name) for name in names}
    assert in_order(names[::-1]) == once


def test_numbers_in_the_names_of_drop_ins_are_numbers() -> None:
    assert in_order(["10-b.conf", "9-a.conf", "b.conf", "B.conf", "9-a.conf"]) == [
        "9-a.conf",
        "10-b.conf",
        "B.conf",
        "b.conf",
    ]


def test_options_of_presets_are_cut_at_each_space(tmp_path: Path) -> None:
    def options(text: str) -> tuple[str, ...]:
        return preset(tmp_path, f"PRESETS=(a)\na_options={text}\n")[0].options

    assert options("'-S autodetect '") == ("-S", "autodetect")
    assert options("'-S  autodetect'") == ("-S", "", "autodetect")
    assert options("(--splash '/a b.bmp')") == ("--splash", "/a b.bmp")
    assert options("()") == options("''") == ()


def test_the_other_values_of_a_preset(tmp_path: Path) -> None:
    text = """\
PRESETS=(a b)
ALL_cmdline=/etc/kernel/cmdline
ALL_microcode=(/boot/x.img /boot/y.img)
a_uki=/efi/a.efi
a_splash=/a.bmp
b_efi_image=/efi/b.efi
b_cmdline=/b
b_microcode=/boot/b.img
"""
    a, b = preset(tmp_path, text)
    assert (a.uki, a.cmdline, a.splash, a.microcode) == (
        "/efi/a.efi",
        "/etc/kernel/cmdline",
        "/a.bmp",
        "ALL_microcode",
    )
    assert (b.uki, b.cmdline, b.splash, b.microcode) == ("/efi/b.efi", "/b", "", "/boot/b.img")


def test_systemd_s_list_lacks_what_is_optional_and_not_quoted(tmp_path: Path) -> None:
    found = config(tmp_path, "MODULES=(vfio_pci no_such? 'quoted?')\nMODULES+=(vfio)\n")
    assert found.modules == ("vfio_pci", "no_such?", "quoted?", "vfio")
    assert found.systemd_modules == ("vfio_pci", "quoted?", "vfio")
