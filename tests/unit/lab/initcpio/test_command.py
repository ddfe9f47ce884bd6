"""The whole command on small hosts: what it prints, what it writes, how it ends."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.lab.initcpio import archive, bash, generate
from pipeline.lab.initcpio.__main__ import main
from pipeline.lab.initcpio.command import run
from pipeline.lab.initcpio.modules import module_name
from pipeline.lab.initcpio.outcome import Run
from tests.initcpio_trees import MACHINE, bzimage, kernel, read

CONFIG = """\
MODULES=(vfio_pci vfio vfio_iommu_type1)
BINARIES=()
FILES=()
HOOKS=(base udev autodetect modconf kms keyboard block filesystems fsck)
"""
KERNEL = "/boot/vmlinuz-6.12-x86_64"
IMAGE = "/boot/initramfs-6.12-x86_64.img"
FALLBACK = "/boot/initramfs-6.12-x86_64-fallback.img"
PRESET = f"""\
ALL_kver="{KERNEL}"
PRESETS=('default')
default_image="{IMAGE}"
"""
OLD_PRESET = f"""\
ALL_config="/etc/mkinitcpio.conf"
ALL_kver="{KERNEL}"
PRESETS=('default' 'fallback')
default_image="{IMAGE}"
fallback_image="{FALLBACK}"
fallback_options="-S autodetect"
"""
Command = Callable[..., Run]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for release in ("6.12", "6.1"):
        kernel(root, release)
    files = {
        "etc/mkinitcpio.conf": CONFIG.encode(),
        "etc/mkinitcpio.d/linux612.preset": PRESET.encode(),
        "etc/modprobe.d/vfio.conf": b"options vfio-pci ids=1002:67ef\n",
        "boot/vmlinuz-6.12.img": bzimage("6.12"),
    }
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / KERNEL[1:]).symlink_to("vmlinuz-6.12.img")
    return root


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.cpio"
    with path.open("wb") as stream:
        archive.write([archive.file("usr/bin/sh", b"shell"), archive.link("bin", "usr/bin")], stream)
    return path


@pytest.fixture
def mkinitcpio(root: Path, base: Path) -> Command:
    return lambda *arguments: run(arguments, root=root, base=base, modaliases=MACHINE, running="6.1")


def modules(root: Path, base: Path, image: str) -> set[str]:
    data = (root / image[1:]).read_bytes()
    assert data.startswith(base.read_bytes())
    return {module_name(path) for path in read(data[base.stat().st_size :]) if path.endswith(".ko")}


def test_what_a_build_from_a_preset_prints(mkinitcpio: Command) -> None:
    done = mkinitcpio("-p", "linux612")
    assert done.status == 0
    assert done.messages == (
        "==> Building image from preset: /etc/mkinitcpio.d/linux612.preset: 'default'",
        "==> Using default configuration file: '/etc/mkinitcpio.conf'",
        f"  -> -k {KERNEL} -g {IMAGE}",
        "==> Starting build: '6.12'",
        *(
            f"  -> Running build hook: [{hook}]"
            for hook in [
                "base",
                "udev",
                "autodetect",
                "modconf",
                "kms",
                "keyboard",
                "block",
                "filesystems",
                "fsck",
            ]
        ),
        "==> Generating module dependencies",
        f"==> Creating zstd-compressed initcpio image: '{IMAGE}'",
        "  -> Early uncompressed CPIO image generation successful",
        "==> Initcpio image generation successful",
    )
    (image,) = done.images
    assert (image.path, image.release, image.start, image.preset) == (
        IMAGE,
        "6.12",
        "udev",
        "linux612-default",
    )
    assert image.early == ("vfio_pci", "vfio", "vfio_iommu_type1")
    assert done.notes == ()
    assert done.stand_ins == ("the image is not compressed with zstd: it boots the same and faster here",)


def test_the_image_is_the_base_and_the_configured_part(mkinitcpio: Command, root: Path, base: Path) -> None:
    mkinitcpio("-P")
    assert {"vfio_pci", "bochs", "ext4"} <= modules(root, base, IMAGE)
    assert [path.name for path in (root / "boot").iterdir() if "initramfs" in path.name] == [
        "initramfs-6.12-x86_64.img"
    ]


def test_a_missing_module_ends_with_1_and_an_image(mkinitcpio: Command, root: Path, base: Path) -> None:
    (root / "etc/mkinitcpio.conf").write_text(CONFIG + "MODULES+=(vfio_virqfd)\n")
    done = mkinitcpio("-P")
    assert done.status == 1
    assert "==> ERROR: module not found: 'vfio_virqfd'" in done.messages
    assert done.messages[-1].startswith("==> WARNING: errors were encountered")
    assert "==> Initcpio image generation successful" not in done.messages
    assert "vfio_pci" in modules(root, base, IMAGE)


def test_the_presets_of_2019_write_a_fallback_with_more_drivers(
    mkinitcpio: Command, root: Path, base: Path
) -> None:
    (root / "etc/mkinitcpio.d/linux612.preset").write_text(OLD_PRESET)
    done = mkinitcpio("-P")
    assert done.status == 0
    assert [image.path for image in done.images] == [IMAGE, FALLBACK]
    assert "==> Using configuration file: '/etc/mkinitcpio.conf'" in done.messages
    assert f"  -> -k {KERNEL} -c /etc/mkinitcpio.conf -g {FALLBACK} -S autodetect" in done.messages
    assert modules(root, base, IMAGE) < modules(root, base, FALLBACK)
    assert "radeon" in modules(root, base, FALLBACK)


def test_all_presets_goes_on_after_a_failure(mkinitcpio: Command, root: Path) -> None:
    presets = root / "etc/mkinitcpio.d"
    (presets / "a.preset").write_text("fi\n")
    (presets / "b.preset").write_text(PRESET.replace(KERNEL, "/boot/none").replace(IMAGE, "/boot/b.img"))
    done = mkinitcpio("-P")
    assert done.status == 1
    assert [image.path for image in done.images] == [IMAGE]
    assert "==> ERROR: Failed to load preset: '/etc/mkinitcpio.d/a.preset'" in done.messages
    assert any(line.startswith("/etc/mkinitcpio.d/a.preset: line 1: syntax") for line in done.messages)
    assert "==> ERROR: Invalid option -k -- '/boot/none' must be readable" in done.messages
    assert not (root / "boot/b.img").exists()


def test_a_preset_by_its_path(mkinitcpio: Command) -> None:
    assert mkinitcpio("-p", "/etc/mkinitcpio.d/linux612.preset").status == 0
    assert mkinitcpio("-p", "nosuch").messages[-1] == (
        "==> ERROR: Failed to load preset: '/etc/mkinitcpio.d/nosuch.preset'"
    )


def test_no_presets_at_all(mkinitcpio: Command, root: Path) -> None:
    (root / "etc/mkinitcpio.d/linux612.preset").unlink()
    done = mkinitcpio("-P")
    assert (done.status, done.messages) == (1, ("==> ERROR: No presets found in /etc/mkinitcpio.d",))


@pytest.mark.parametrize(
    ("preset", "warning"),
    [
        ("PRESETS=(default)\ndefault_image=/boot/x\n", "No kernel version specified. Skipping image 'default'"),
        (f"PRESETS=(default)\nALL_kver={KERNEL}\n", "No image or UKI specified. Skipping image 'default'"),
        ("", "Preset file '/etc/mkinitcpio.d/linux612.preset' is empty or does not contain any presets."),
        (
            PRESET + "ALL_microcode=(/boot/*-ucode.img)\n",
            "Deprecated option 'ALL_microcode' found. "
            "Update '/etc/mkinitcpio.d/linux612.preset' to use the 'microcode' hook instead.",
        ),
    ],
)  # fmt: skip
def test_what_a_preset_is_warned_of(mkinitcpio: Command, root: Path, preset: str, warning: str) -> None:
    (root / "etc/mkinitcpio.d/linux612.preset").write_text(preset)
    done = mkinitcpio("-P")
    assert done.status == 0
    assert f"==> WARNING: {warning}" in done.messages


def test_options_of_a_preset_as_array_and_as_text(mkinitcpio: Command, root: Path) -> None:
    path = root / "etc/mkinitcpio.d/linux612.preset"
    for options in ("(-A 'encrypt,lvm2' -z xz)", '"-A encrypt,lvm2 -z xz"'):
        path.write_text(f"{PRESET}default_options={options}\n")
        done = mkinitcpio("-P")
        assert "  -> Running build hook: [lvm2]" in done.messages
        assert f"==> Creating xz-compressed initcpio image: '{IMAGE}'" in done.messages
    path.write_text(f'{PRESET}default_options="-A  encrypt"\n')
    assert mkinitcpio("-P").messages[-1] == "mkinitcpio: option '-A' requires an argument"


def test_an_image_of_its_own_kernel_and_configuration(mkinitcpio: Command, root: Path) -> None:
    (root / "etc/own.conf").write_text(CONFIG.replace("MODULES=(", "MODULES=(vfio_virqfd "))
    (root / "etc/mkinitcpio.d/linux612.preset").write_text(
        PRESET + "default_kver=6.1\ndefault_config=/etc/own.conf\n"
    )
    done = mkinitcpio("-P")
    assert done.status == 0
    assert done.images[0].release == "6.1"
    assert done.images[0].early[0] == "vfio_virqfd"


def test_generate_without_kernel_is_for_the_running_one(mkinitcpio: Command, root: Path, base: Path) -> None:
    done = mkinitcpio("-g", IMAGE)
    assert done.status == 0
    assert done.images[0].release == "6.1"
    assert done.images[0].preset == ""
    assert "vfio_virqfd" not in modules(root, base, IMAGE)
    assert any("running kernel 6.1" in note and IMAGE in note for note in done.notes)
    assert "==> WARNING: Could not find kernel image for version 6.1" in done.messages


@pytest.mark.parametrize("given", [KERNEL, "6.12"])
def test_generate_for_a_kernel(mkinitcpio: Command, given: str) -> None:
    done = mkinitcpio("-k", given, "-g", "/boot/x.img")
    assert (done.status, done.notes) == (0, ())
    assert done.images[0].release == "6.12"
    assert not any("Could not find kernel image" in line for line in done.messages)


def test_without_an_image_it_is_a_dry_run(mkinitcpio: Command, root: Path) -> None:
    done = mkinitcpio("-k", "6.12")
    assert (done.status, done.images) == (0, ())
    assert done.messages[0] == "==> Starting dry run: '6.12'"
    assert done.messages[-1] == "==> Dry run complete, use -g IMAGE to generate a real image"


def test_hooks_are_added_and_skipped(mkinitcpio: Command, root: Path, base: Path) -> None:
    done = mkinitcpio("-k", "6.12", "-g", IMAGE, "-S", "modconf,kms", "-A", "nosuch")
    assert done.status == 1
    assert "==> ERROR: Hook 'nosuch' cannot be found" in done.messages
    assert "  -> Running build hook: [modconf]" not in done.messages
    assert "bochs" not in modules(root, base, IMAGE)
    assert b"etc/modprobe.d/vfio.conf" not in (root / IMAGE[1:]).read_bytes()


def test_options_beside_a_preset_do_nothing_and_the_user_is_told(mkinitcpio: Command) -> None:
    done = mkinitcpio("-p", "linux612", "-S", "modconf", "-c", "/etc/mkinitcpio.conf")
    assert "  -> Running build hook: [modconf]" in done.messages
    assert "==> Using default configuration file: '/etc/mkinitcpio.conf'" in done.messages
    assert len(done.notes) == 1
    assert "-c /etc/mkinitcpio.conf, -S modconf" in done.notes[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-k", "5.0", "-g", "/boot/x"], "'/lib/modules/5.0' is not a valid kernel module directory"),
        (["-k", "/etc/mkinitcpio.conf", "-g", "/boot/x"], "invalid kernel specified: '/etc/mkinitcpio.conf'"),
        (["-k", "/boot/none"], "Invalid option -k -- '/boot/none' must be readable"),
        (["-c", "/etc/none"], "Invalid option -c -- '/etc/none' must be readable"),
        (["-g", "/boot"], "Invalid option -g -- '/boot' must not be a directory"),
        (["-g", "/none/x"], "Invalid option -g -- '/none/x' must be writable"),
        (
            ["-k", "6.12", "-S", "base,udev,autodetect,modconf,kms,keyboard,block,filesystems,fsck"],
            "Invalid config: No hooks found",
        ),
    ],
)  # fmt: skip
def test_what_ends_a_run_before_it_writes(
    mkinitcpio: Command, root: Path, arguments: list[str], message: str
) -> None:
    before = sorted((root / "boot").iterdir())
    done = mkinitcpio(*arguments)
    assert (done.status, done.messages[-1]) == (1, f"==> ERROR: {message}")
    assert sorted((root / "boot").iterdir()) == before


def test_wrong_usage_ends_with_1(mkinitcpio: Command) -> None:
    done = mkinitcpio("-q")
    assert (done.status, done.messages) == (1, ("mkinitcpio: invalid option -- 'q'",))


@pytest.mark.parametrize("text", ["MODULES=(\n", "false\n", "exit 0\n"])
def test_a_configuration_that_cannot_be_read_leaves_the_old_image(
    mkinitcpio: Command, root: Path, text: str
) -> None:
    (root / IMAGE[1:]).write_bytes(b"old")
    (root / "etc/mkinitcpio.conf").write_text(text)
    done = mkinitcpio("-P")
    assert done.status == 1
    assert done.messages[-1] == "==> ERROR: Failed to read configuration '/etc/mkinitcpio.conf'"
    assert (root / IMAGE[1:]).read_bytes() == b"old"


def test_a_configuration_that_hangs_is_ended(
    mkinitcpio: Command, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bash, "SECONDS", 0.5)
    (root / "etc/mkinitcpio.conf").write_text("sleep 600\n")
    done = mkinitcpio("-P")
    assert done.status == 1
    assert any("does not come to its end within" in line for line in done.messages)


def test_drop_ins_are_read_in_their_order(mkinitcpio: Command, root: Path) -> None:
    folder = root / "etc/mkinitcpio.conf.d"
    folder.mkdir()
    (folder / "10-last.conf").write_text("MODULES+=(ext4)\n")
    (folder / "9-first.conf").write_text("MODULES=(vfio_pci)\nHOOKS+=(encrypt)\n")
    (folder / "ignored.txt").write_text("MODULES+=(nosuch)\n")
    done = mkinitcpio("-P")
    assert done.status == 0
    assert done.images[0].early == ("vfio_pci", "ext4")
    said = [line for line in done.messages if "drop-in" in line]
    assert said == [
        f"==> Using drop-in configuration file: '{name}'" for name in ("9-first.conf", "10-last.conf")
    ]
    assert "  -> Running build hook: [encrypt]" in done.messages


@pytest.mark.parametrize("by", ["ALL_config", "default_config", "-c"])
def test_drop_ins_are_passed_over_where_the_configuration_is_named(
    mkinitcpio: Command, root: Path, by: str
) -> None:
    folder = root / "etc/mkinitcpio.conf.d"
    folder.mkdir()
    (folder / "vfio.conf").write_text("MODULES+=(ext4)\n")
    if by == "-c":
        done = mkinitcpio("-c", "/etc/mkinitcpio.conf", "-k", "6.12", "-g", IMAGE)
    else:
        (root / "etc/mkinitcpio.d/linux612.preset").write_text(f"{PRESET}{by}=/etc/mkinitcpio.conf\n")
        done = mkinitcpio("-P")
    assert "ext4" not in done.images[0].early
    assert not any("drop-in" in line for line in done.messages)
    assert any("/etc/mkinitcpio.conf.d/vfio.conf: passed over" in note for note in done.notes)


def test_an_unknown_compressor_is_warned_of(mkinitcpio: Command, root: Path) -> None:
    (root / "etc/mkinitcpio.conf").write_text(CONFIG + "COMPRESSION=zst\n")
    done = mkinitcpio("-P")
    assert done.status == 0
    assert "==> WARNING: Unable to locate compression method: 'zst'" in done.messages
    assert f"==> Creating uncompressed initcpio image: '{IMAGE}'" in done.messages
    assert done.stand_ins == ()


def test_a_unified_image_is_left_to_be_put_together(mkinitcpio: Command, root: Path, base: Path) -> None:
    (root / "etc/mkinitcpio.d/linux612.preset").write_text(
        f"ALL_kver={KERNEL}\nPRESETS=(default)\ndefault_uki=/boot/arch.efi\nALL_cmdline=/etc/kernel/cmdline\n"
    )
    done = mkinitcpio("-P")
    assert (done.status, done.images) == (0, ())
    (unified,) = done.unified
    assert (unified.path, unified.kernel, unified.release) == ("/boot/arch.efi", KERNEL, "6.12")
    assert unified.options == (("cmdline", "/etc/kernel/cmdline"),)
    assert unified.initramfs.startswith(base.read_bytes())
    assert not (root / "boot/arch.efi").exists()


def test_post_hooks_are_told_of(mkinitcpio: Command, root: Path) -> None:
    (root / "etc/initcpio/post").mkdir(parents=True)
    (root / "etc/initcpio/post/sign").touch()
    assert any("/etc/initcpio/post/sign" in text for text in mkinitcpio("-P").stand_ins)


def test_an_image_outside_of_the_host_is_not_written(mkinitcpio: Command, root: Path, tmp_path: Path) -> None:
    mkinitcpio("-k", "6.12", "-g", "/boot/../../../x.img")
    assert (root / "x.img").exists()
    assert not (tmp_path / "x.img").exists()


def test_a_write_that_fails_leaves_the_old_image_and_nothing_else(
    mkinitcpio: Command, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / IMAGE[1:]).write_bytes(b"old")

    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generate.Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        mkinitcpio("-P")
    assert (root / IMAGE[1:]).read_bytes() == b"old"
    assert not [path for path in (root / "boot").iterdir() if path.name.startswith(".")]


def test_the_same_host_gives_the_same_bytes(mkinitcpio: Command, root: Path) -> None:
    mkinitcpio("-P")
    first = (root / IMAGE[1:]).read_bytes()
    mkinitcpio("-P")
    assert (root / IMAGE[1:]).read_bytes() == first


def test_the_version(mkinitcpio: Command) -> None:
    assert mkinitcpio("-V").messages == ('mkinitcpio "41"',)


def test_what_an_archive_holds() -> None:
    stream = io.BytesIO()
    archive.write([archive.file("a/b", b"123"), archive.link("l", "a/b")], stream)
    stream.seek(0)
    assert archive.contents(stream) == {"a": "", "a/b": "", "l": "a/b"}
    with pytest.raises(ValueError, match="no cpio archive"):
        archive.contents(io.BytesIO(b"garbage" * 30))


def test_the_entry_point(root: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "modaliases").write_text("\n".join(MACHINE))
    options = ["--root", str(root), "--base", str(base), "--modalias-file", str(tmp_path / "modaliases")]
    assert main([*options, "--running", "6.12", "--", "-P", "-S", "x"]) == 0
    said = capsys.readouterr().out
    assert f"written: {IMAGE} for 6.12, init of udev: vfio_pci vfio vfio_iommu_type1\n" in said
    assert "note: with presets mkinitcpio passes over -S x" in said
    assert main([*options, "--", "-q"]) == 1
    assert main(["--root", str(root), "--base", "/no/such", "--", "-P"]) == 2
    assert "/no/such" in capsys.readouterr().err
