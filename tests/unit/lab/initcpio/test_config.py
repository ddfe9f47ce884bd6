from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.lab.initcpio.config import Config, Preset, read_config, read_preset


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
