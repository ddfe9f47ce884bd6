from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import BadInput, Place
from pipeline.render.host_files import host_files, steps

DOMAIN = "libvirt/win10.xml"
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def shell(program: str, file: bytes, script: str, directory) -> str:
    path = directory / "file"
    path.write_bytes(file)
    done = subprocess.run(
        [program, "-c", f". ./file; {script}"], cwd=directory, capture_output=True, check=True
    )
    assert done.stderr == b""
    return done.stdout.decode()


def test_grub_gets_the_parameters_of_the_plan(plan, tmp_path):
    grub = host_files(plan)["etc/default/grub"]
    expected = " ".join(item.value for item in plan.host.kernel_parameters)
    assert shell("sh", grub, 'printf %s "$GRUB_CMDLINE_LINUX_DEFAULT"', tmp_path) == expected
    assert shell("sh", grub, 'printf %s "$GRUB_CMDLINE_LINUX"', tmp_path) == ""


@given(values=st.lists(text, min_size=1, max_size=3))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_parameters_are_refused_or_come_back(plan, with_host, tmp_path, values):
    try:
        grub = host_files(with_host(plan, "kernel_parameters", values))["etc/default/grub"]
    except BadInput:
        return
    assert shell("sh", grub, 'printf %s "$GRUB_CMDLINE_LINUX_DEFAULT"', tmp_path) == " ".join(values)


@given(values=st.lists(text, min_size=1, max_size=5))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_modules_and_hooks_come_back(plan, with_host, tmp_path, values):
    changed = with_host(with_host(plan, "modules", values), "hooks", values)
    conf = host_files(changed)["etc/mkinitcpio.conf"]
    for array in ("MODULES", "HOOKS"):
        found = shell("bash", conf, f"printf '%s\\0' \"${{{array}[@]}}\"", tmp_path)
        assert found.split("\0")[:-1] == values


def test_mkinitcpio_gets_the_lists_of_the_plan(plan, tmp_path):
    conf = host_files(plan)["etc/mkinitcpio.conf"]
    assert shell("bash", conf, 'echo "${MODULES[@]}"', tmp_path).split() == [
        module.value for module in plan.host.modules
    ]
    assert shell("bash", conf, 'echo "${HOOKS[@]}"', tmp_path).split() == [
        hook.value for hook in plan.host.hooks
    ]


def test_modprobe_gets_ids_and_a_softdep_for_each_driver(plan):
    lines = host_files(plan)["etc/modprobe.d/vfio.conf"].decode().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [
        "options vfio-pci ids=1002:67ef,1002:aae0",
        "softdep amdgpu pre: vfio-pci",
        "softdep snd_hda_intel pre: vfio-pci",
    ]


def test_without_ids_and_softdeps_modprobe_gets_no_line(plan, with_host):
    changed = with_host(plan, "vfio_ids", [])
    changed = replace(changed, host=replace(changed.host, softdeps=()))
    lines = host_files(changed)["etc/modprobe.d/vfio.conf"].decode().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


@pytest.mark.parametrize("value", ["1002:67ef\ninstall vfio /bin/sh", "1002:67ef 1", "$(id)", "a,b"])
def test_hostile_ids_are_refused(plan, with_host, value):
    with pytest.raises(BadInput, match=r"modprobe\.d"):
        host_files(with_host(plan, "vfio_ids", [value]))


def test_a_hostile_driver_is_refused(plan):
    changed = replace(plan, host=replace(plan.host, softdeps=(("a pre: b\noptions c", "vfio-pci"),)))
    with pytest.raises(BadInput, match=r"modprobe\.d"):
        host_files(changed)


def test_a_hostile_scenario_name_cannot_end_a_comment(plan):
    with pytest.raises(BadInput):
        host_files(replace(plan, name="x\nGRUB_CMDLINE_LINUX=$(id)"))


def test_a_hostile_place_cannot_end_a_comment(plan):
    place = Place(file="--set a\nb")
    parameters = tuple(replace(item, place=place) for item in plan.host.kernel_parameters)
    with pytest.raises(BadInput):
        host_files(replace(plan, host=replace(plan.host, kernel_parameters=parameters)))


def test_origins_name_lines_and_options_but_no_path(planned):
    plan = planned("host.kernel_parameters=[quiet]")
    files = host_files(plan)
    assert b"# From --set host.kernel_parameters of the scenario." in files["etc/default/grub"]
    assert re.search(rb"functions for the guest, from line \d+ of", files["etc/modprobe.d/vfio.conf"])
    assert all(b"/scenarios/" not in data for data in files.values())


def test_an_unknown_distribution_is_bad_input(plan):
    facts = replace(plan.host.distribution, distribution="../etc")
    with pytest.raises(BadInput, match="no template"):
        host_files(replace(plan, host=replace(plan.host, distribution=facts)))


def test_every_shell_block_of_the_steps_parses(plan):
    document = steps(plan, domain=DOMAIN).decode()
    blocks = re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    assert len(blocks) == 8
    for block in blocks:
        subprocess.run(["sh", "-n"], input=block.encode(), check=True)


def test_the_steps_fit_the_generation(plan, planned):
    today = steps(plan, domain=DOMAIN).decode()
    then = steps(planned("host.year=2019", "host.kernel='4.19'"), domain=DOMAIN).decode()
    assert "fallback.img" not in today
    assert "makes no fallback image" in today
    assert "sudo cp -an /boot/initramfs-4.19-x86_64-fallback.img" in then
    for document in (today, then):
        assert "module_blacklist=vfio_pci" in document
        assert "lspci -nnk -s 01:00\n" in document
        assert "sudo virsh define libvirt/win10.xml\n" in document


@pytest.mark.parametrize("name", ["a`b", "a\nb", "a\0b"])
def test_the_steps_refuse_a_hostile_guest_name(plan, name):
    with pytest.raises(BadInput):
        steps(replace(plan, guest=replace(plan.guest, name=name)), domain=DOMAIN)


def test_the_steps_quote_a_disk_path(plan):
    path = "/images/$(id) 'x'.qcow2"
    disks = (replace(plan.guest.disks[0], path=path), *plan.guest.disks[1:])
    document = steps(replace(plan, guest=replace(plan.guest, disks=disks)), domain=DOMAIN).decode()
    [line] = [line for line in document.splitlines() if "qemu-img" in line]
    script = line.replace("sudo sh -c", "printf '%s\\n'")
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines()[2] == path
