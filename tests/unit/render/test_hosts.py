"""What hosts of every distribution get, read back by what reads it there."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.plan import Plan, resolve
from pipeline.plan.way_back import WAY_BACK_PARAMETER
from pipeline.render import Inputs, render, write
from pipeline.render.environment import host_path, modprobe_paths, modprobe_words
from pipeline.render.host_files import host_files, steps
from pipeline.render.mode import mode
from pipeline.scenario import read

UKI = ("host.distribution=arch", "host.bootloader=uki", "host.root=LABEL=root")
HOSTS = {
    "manjaro": ("host.distribution=manjaro",),
    "manjaro of 2019": ("host.distribution=manjaro", "host.year=2019", "host.kernel='4.19'"),
    "arch": ("host.distribution=arch",),
    "arch systemd-boot": ("host.distribution=arch", "host.bootloader=systemd-boot", "host.root=LABEL=root"),
    "arch uki": UKI,
    "debian": ("host.distribution=debian",),
    "debian of 2023": ("host.distribution=debian", "host.year=2023", "host.kernel='6.1'"),
    "debian dracut": ("host.distribution=debian", "host.initramfs.generator=dracut"),
    "fedora": ("host.distribution=fedora",),
}
# Another card with the ids of the one that is passed through.
TWIN = "board.root_ports.4.functions.0.id='1002:67ef'"
PASSED = ["vfio_pci", "vfio", "vfio_iommu_type1"]
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def made(name: str, *more: str) -> Plan:
    base = ("host.bootloader=null", "host.initramfs={}")
    return resolve(read("rx560", settings=(*base, *HOSTS[name], *more)))


def shell(program: str, script: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run([program, "-c", script, program, *arguments], cwd=folder, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        (folder / path).chmod(mode(path))
    return folder


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_has_the_files_of_its_own_tools_and_no_others(name: str) -> None:
    generator = {
        "mkinitcpio": {"etc/mkinitcpio.conf"},
        "dracut": {"etc/dracut.conf.d/10-vfio.conf"},
        "initramfs-tools": {"etc/initramfs-tools/modules", "etc/initramfs-tools/scripts/init-top/00-vfio"},
    }
    loader = {
        "grub": {"etc/default/grub", "etc/grub.d/42_without_passthrough"},
        "systemd-boot": {
            "boot/loader/loader.conf",
            "boot/loader/entries/arch.conf",
            "boot/loader/entries/without-passthrough.conf",
        },
        "uki": {
            "boot/loader/loader.conf",
            "etc/kernel/cmdline",
            "etc/kernel/cmdline-without-passthrough",
            "etc/mkinitcpio.d/linux.preset",
        },
    }
    plan = made(name)
    assert set(host_files(plan)) == {
        "etc/modprobe.d/vfio.conf",
        *generator[plan.host.generator],
        *loader[plan.host.bootloader],
    }


@pytest.mark.parametrize("name", HOSTS)
def test_every_shell_block_of_the_steps_parses_and_is_for_this_host(name: str) -> None:
    plan = made(name)
    document = steps(plan, domain="libvirt/win10.xml").decode()
    blocks = re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    assert len(blocks) == 8
    for block in blocks:
        subprocess.run(["sh", "-n"], input=block.encode(), check=True)
    assert "{release}" not in document
    facts = plan.host.distribution
    installed = [line for block in blocks for line in block.splitlines() if " install -D " in line]
    assert len(installed) == len(host_files(plan))
    for tool, wanted in {
        "pacman": facts.distribution in {"manjaro", "arch"},
        "mkinitcpio": plan.host.generator == "mkinitcpio",
        "update-initramfs": plan.host.generator == "initramfs-tools",
        "dracut --force": plan.host.generator == "dracut",
        "grubby": facts.distribution == "fedora",
        "bootctl": plan.host.bootloader != "grub",
        " ".join(facts.grub_mkconfig): plan.host.bootloader == "grub",
    }.items():
        assert any(tool in block for block in blocks) is wanted, tool


@pytest.mark.parametrize("name", HOSTS)
def test_what_was_not_there_is_removed_on_the_way_back(name: str) -> None:
    """All but what every host of its kind has before; the programs of a bundle are among them."""
    plan = made(name, TWIN)
    document = steps(plan, domain="libvirt/win10.xml").decode()
    [removed] = re.findall(r"^sudo rm -f (/etc/.*|/boot/loader/.*)$", document, re.MULTILINE)
    common = {
        "etc/default/grub",
        "etc/mkinitcpio.conf",
        "etc/initramfs-tools/modules",
        "etc/mkinitcpio.d/linux.preset",
        "etc/kernel/cmdline",
        "boot/loader/loader.conf",
        "boot/loader/entries/arch.conf",
    }
    assert set(removed.split()) == {f"/{path}" for path in set(host_files(plan)) - common}


@pytest.mark.parametrize("name", HOSTS)
def test_programs_are_executable_scripts(name: str, tmp_path: Path) -> None:
    plan = made(name, TWIN)
    bundle = render(plan, inputs=Inputs(scenario=b"scenario"))
    write(bundle, tmp_path / "out")
    for path, data in bundle.files.items():
        executable = stat.S_IMODE((tmp_path / "out" / path).stat().st_mode) & 0o111
        assert bool(executable) is data.startswith(b"#!/bin/sh\n"), path
        if executable:
            subprocess.run(["sh", "-n", tmp_path / "out" / path], check=True)
    assert "usr/local/bin/vfio-pci-override" in bundle.files


@pytest.mark.parametrize("name", ["debian dracut", "fedora"])
def test_dracut_forces_the_modules_in_order_and_takes_the_ids(name: str, tmp_path: Path) -> None:
    put(tmp_path, host_files(made(name)))
    script = '. etc/dracut.conf.d/10-vfio.conf; printf "%s|%s" "$force_drivers" "$install_items"'
    drivers, items = shell("bash", script, tmp_path).split("|")
    assert drivers == " vfio_pci vfio vfio_iommu_type1 "
    assert items == " /etc/modprobe.d/vfio.conf "
    put(tmp_path, host_files(made(name, TWIN)))
    assert shell("bash", script, tmp_path).split("|")[1].split() == [
        "/etc/modprobe.d/vfio.conf",
        "/usr/local/bin/vfio-pci-override",
    ]


def test_only_mkinitcpio_reads_a_hyphen_as_it_is() -> None:
    """dracut.sh mends one hyphen of force_drivers."""
    modules = "host.initramfs.modules=[vfio-pci, vfio-iommu-type1]"
    files = host_files(made("fedora", modules))
    assert b'force_drivers+=" vfio_pci vfio_iommu_type1 "' in files["etc/dracut.conf.d/10-vfio.conf"]
    assert b"MODULES=(vfio-pci vfio-iommu-type1)" in host_files(made("arch", modules))["etc/mkinitcpio.conf"]


@given(values=st.lists(text, min_size=1, max_size=3))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", ["debian", "debian dracut"])
def test_hostile_modules_are_refused_or_come_back(name, with_host, tmp_path, values):
    plan = with_host(made(name), "modules", values)
    try:
        files = put(tmp_path, host_files(plan))
    except BadInput:
        return
    if name == "debian":
        lines = (files / "etc/initramfs-tools/modules").read_text().splitlines()
        found = [line for line in lines if not line.startswith("#") and line]
    else:
        script = '. etc/dracut.conf.d/10-vfio.conf; printf %s "$force_drivers"'
        found = shell("bash", script, tmp_path).split()
    assert found == [value.removesuffix("?").replace("-", "_") for value in values]


@pytest.mark.parametrize("value", ["$(id)", "`id`", 'x"', "x y", "x\ny", "x;y", "\\"])
@pytest.mark.parametrize("name", ["debian", "debian dracut"])
def test_no_hostile_module_gets_into_a_file(name, with_host, value) -> None:
    with pytest.raises(BadInput, match=r"modprobe\.d"):
        host_files(with_host(made(name), "modules", ["vfio_pci", value]))


def test_initramfs_tools_loads_the_modules_in_order(tmp_path: Path) -> None:
    files = host_files(made("debian", "host.initramfs.extra_modules=[btrfs]"))
    path = "etc/initramfs-tools/scripts/init-top/00-vfio"
    played = files[path].replace(b"/sbin/modprobe", b"./modprobe")
    put(tmp_path, {path: played, "modprobe": b'#!/bin/sh\necho "$@" >> said\n'})
    (tmp_path / "modprobe").chmod(0o755)
    assert shell("sh", f"./{path} prereqs", tmp_path) == "\n"
    assert not (tmp_path / "said").exists()
    shell("sh", f"./{path}", tmp_path)
    assert (tmp_path / "said").read_text().split() == [f for one in (*PASSED, "btrfs") for f in ("-q", one)]


@pytest.mark.skipif(shutil.which("tsort") is None, reason="tsort is not installed")
def test_the_script_of_init_top_is_the_first(tmp_path: Path) -> None:
    """mkinitramfs: `get_prereq_pairs | tsort`, with a pair of each name with itself (hook-functions, 0.148)."""
    [name] = [Path(path).name for path in host_files(made("debian")) if "/init-top/" in path]
    others = ["all_generic_ide", "blacklist", "keymap", "udev"]
    pairs = "".join(f"{one} {one}\n" for one in (*others, name))
    done = subprocess.run(["tsort"], input=pairs, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == name
    assert re.fullmatch(r"[A-Za-z0-9._-]+", name)  # set_initlist passes over any other


def test_the_hook_puts_the_override_script_into_the_image(tmp_path: Path) -> None:
    files = host_files(made("debian", TWIN))
    path = "etc/initramfs-tools/hooks/vfio"
    functions = tmp_path / "hook-functions"
    played = files[path].replace(b"/usr/share/initramfs-tools/hook-functions", str(functions).encode())
    put(tmp_path, {path: played})
    for status, outcome in ((0, 0), (1, 0), (2, 1)):
        functions.write_text(f'copy_file() {{ echo "$@"; return {status}; }}\n')
        done = subprocess.run(["sh", path], cwd=tmp_path, capture_output=True, text=True)
        assert (done.stdout, done.returncode) == ("script /usr/local/bin/vfio-pci-override\n", outcome)
    assert path not in host_files(made("debian"))


def test_a_unified_kernel_image_has_its_command_line_and_a_second_one_the_way_back(tmp_path: Path) -> None:
    plan = made("arch uki")
    folder = put(tmp_path, host_files(plan))
    options = (folder / "etc/kernel/cmdline").read_text()
    assert options == "root=LABEL=root rw quiet udev.log_priority=3 iommu=pt\n"
    other = (folder / "etc/kernel/cmdline-without-passthrough").read_text()
    assert other.split() == [*options.split(), WAY_BACK_PARAMETER]
    script = ". etc/mkinitcpio.d/linux.preset; for p in ${PRESETS[@]}; do "
    script += (
        'i=${p}_image; u=${p}_uki; o=${p}_options; printf "%s|%s|%s|%s\\n" "$p" "${!i}" "${!u}" "${!o}"; done'
    )
    assert shell("bash", script, folder).splitlines() == [
        "default||/boot/EFI/Linux/arch-linux.efi|",
        "without_passthrough||/boot/EFI/Linux/arch-linux-without-passthrough.efi|"
        "--cmdline /etc/kernel/cmdline-without-passthrough",
    ]
    assert "default arch-linux.efi\n" in (folder / "boot/loader/loader.conf").read_text()


@pytest.mark.parametrize("value", ["a b", "$(id)", "a\nb", 'a="b"', ""])
def test_no_hostile_parameter_gets_into_a_command_line_file(with_host, value) -> None:
    with pytest.raises(BadInput, match="boot loader entry"):
        host_files(with_host(made("arch uki"), "kernel_parameters", ["quiet", value]))


def test_fedora_s_grub_has_the_parameters_and_files_as_entries(tmp_path: Path) -> None:
    folder = put(tmp_path, host_files(made("fedora")))
    script = '. etc/default/grub; printf "%s|%s|%s" "$GRUB_CMDLINE_LINUX" "$GRUB_ENABLE_BLSCFG" '
    script += '"${GRUB_CMDLINE_LINUX_DEFAULT-unset}"'
    assert shell("sh", script, folder) == "quiet udev.log_priority=3 iommu=pt|true|unset"


def fedora_menu(folder: Path, entries: dict[str, str], *, bls: str) -> str:
    """What the script of the way back prints, with `entries` in place of the host's."""
    path = "etc/grub.d/42_without_passthrough"
    script = host_files(made("fedora"))[path]
    script = script.replace(b"/boot/loader/entries", str(folder / "entries").encode())
    script = script.replace(b"/etc/grub.d/10_linux", str(folder / "10_linux").encode())
    lib = b'prepare_grub_to_access_device() { echo "    search --set=root $1"; }\n'
    entry = b"menuentry 'Linux' $menuentry_id_option 'a' {\n  linux /vmlinuz quiet\n}\n"
    linux = b"#!/bin/sh\ncat <<'END'\n" + entry + b"END\n"
    put(folder, {path: script, "lib/grub-mkconfig_lib": lib, "10_linux": linux})
    (folder / "10_linux").chmod(0o755)
    (folder / "entries").mkdir()
    for name, content in entries.items():
        (folder / "entries" / name).write_text(content)
    variables = f"GRUB_ENABLE_BLSCFG={bls} GRUB_DEVICE_BOOT=/dev/vda2 pkgdatadir={folder}/lib "
    return shell("sh", variables + f"./{path}", folder)


ENTRY = "title Fedora Linux\nversion {0}\nlinux /vmlinuz-{0}\ninitrd /initramfs-{0}.img $tuned_initrd\n"
ENTRY += "options root=UUID=1-2 ro %s quiet $tuned_params\n"


def test_fedora_s_way_back_is_the_entry_of_the_newest_kernel(tmp_path: Path) -> None:
    entries = {
        f"aa-{release}.x86_64.conf": ENTRY.format(release)
        for release in ("6.9.12-200.fc43", "6.17.1-300.fc43")
    }
    # Of another installation by its machine-id, so it comes last by its name.
    entries["bb-0-rescue.conf"] = ENTRY.format("0-rescue-bb")
    assert fedora_menu(tmp_path, entries, bls="true").splitlines() == [
        "menuentry 'Without passthrough' $menuentry_id_option 'without-passthrough' {",
        "    search --set=root /dev/vda2",
        "    linux /vmlinuz-6.17.1-300.fc43 root=UUID=1-2 ro %s quiet $tuned_params module_blacklist=vfio_pci",
        "    initrd /initramfs-6.17.1-300.fc43.img $tuned_initrd",
        "}",
    ]


def test_without_entries_as_files_fedora_s_way_back_is_that_of_10_linux(tmp_path: Path) -> None:
    assert fedora_menu(tmp_path, {"a.conf": ENTRY.format("6.17")}, bls="false").splitlines() == [
        "menuentry 'Without passthrough' $menuentry_id_option 'without-passthrough' {",
        "  linux /vmlinuz quiet module_blacklist=vfio_pci",
        "}",
    ]


def test_fedora_s_undo_takes_out_what_was_not_there() -> None:
    def lines(*more: str) -> list[str]:
        document = steps(made("fedora", *more), domain="libvirt/win10.xml").decode()
        return [line for line in document.splitlines() if line.startswith("sudo grubby")]

    assert lines("host.kernel_parameters=[quiet, iommu=pt]") == [
        'sudo grubby --update-kernel=ALL --args="quiet iommu=pt"',
        'sudo grubby --update-kernel=ALL --remove-args="iommu=pt"',
    ]
    assert lines("host.kernel_parameters=[quiet]") == ['sudo grubby --update-kernel=ALL --args="quiet"']


def test_a_path_with_the_release_is_filled_in_by_the_host_s_shell(tmp_path: Path) -> None:
    release = shell("sh", "uname -r", tmp_path).strip()
    word = host_path("/boot/initrd.img-{release}.old")
    assert shell("sh", f"printf %s {word}", tmp_path) == f"/boot/initrd.img-{release}.old"
    assert host_path("/boot/a b") == "'/boot/a b'"


@pytest.mark.parametrize(
    "value", ["/a b{release}", '/a"{release}', "/a{release}$(id)", "{release}", "/{release}/x"]
)
def test_a_path_with_the_release_is_nothing_but_a_path(value: str) -> None:
    with pytest.raises(BadInput, match="shell file"):
        host_path(value)


@pytest.mark.parametrize("value", ["a b", 'a"', "$a", "a\n", ""])
def test_words_inside_quotes_are_names_and_paths_alone(value: str) -> None:
    with pytest.raises(BadInput):
        modprobe_words(["vfio_pci", value])
    with pytest.raises(BadInput):
        modprobe_paths(["/etc/x", value])


def test_a_host_without_templates_is_bad_input() -> None:
    plan = made("debian")
    facts = replace(plan.host.distribution, distribution="../etc")
    with pytest.raises(BadInput, match="no template"):
        steps(replace(plan, host=replace(plan.host, distribution=facts)), domain="d")
