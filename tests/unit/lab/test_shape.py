"""What makes L1 look like the host."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.lab.board import NETWORK_INTERFACE
from pipeline.lab.image import HostImage
from pipeline.lab.overlay import Put
from pipeline.lab.shape import LEFT_FOR_THE_GUEST, READY, access, removals, shape
from pipeline.lab.shell import KeyPair
from pipeline.plan import Plan, resolve
from pipeline.scenario import read

KEY = KeyPair(private=b"private", public=b"ssh-ed25519 public")


def plan(name: str) -> Plan:
    return resolve(read(name))


@pytest.fixture
def image(tmp_path: Path) -> HostImage:
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    paths = dict.fromkeys(("root", "tree", "base", "tiny", "grub"), tmp_path)
    return HostImage(
        name="image",
        kernel=tmp_path / "vmlinuz",
        release="6.12.1",
        distribution="Debian 13",
        packages={},
        **paths,
    )


def test_the_host_has_the_names_and_paths_of_its_distribution(image: HostImage) -> None:
    found = shape(plan("rx560"), image)
    assert b"NAME='Manjaro Linux'\n" in found["/usr/lib/os-release"].data
    assert found["/boot/vmlinuz-6.12-x86_64"].data == b"kernel"
    assert found["/usr/share/edk2/x64/OVMF_CODE.4m.fd"].link == "/usr/share/OVMF/OVMF_CODE_4M.fd"
    assert not [path for path in found if "ssh_host" in path]


def test_the_host_tells_that_it_is_ready_when_ssh_runs_and_the_address_is_there(image: HostImage) -> None:
    unit = shape(plan("rx560"), image)["/etc/systemd/system/dryboot-network.service"].data.decode()
    after = next(line for line in unit.splitlines() if line.startswith("After="))
    assert after == f"After=sys-subsystem-net-devices-{NETWORK_INTERFACE}.device ssh.service"
    command = unit.partition("ExecStart=")[2].partition("[Install]")[0].replace("\\\n", "")
    program, _, script = shlex.split(command)
    assert program == "/usr/bin/sh"
    steps = [" ".join(step.split()) for step in script.split("&&")]
    assert steps == [
        f"ip address add 10.0.2.15/24 dev {NETWORK_INTERFACE}",
        f"ip link set {NETWORK_INTERFACE} up",
        f"echo {READY} >/dev/ttyS0",
    ]


def test_what_comes_after_the_checks_is_not_wanted_at_boot(image: HostImage) -> None:
    found = shape(plan("rx560"), image)
    for unit in LEFT_FOR_THE_GUEST:
        assert found[f"/etc/systemd/system/sysinit.target.wants/{unit}"] == Put(link="/dev/null")
        # Wanted by nothing, and yet there to be started.
        assert f"/etc/systemd/system/{unit}" not in found


def test_the_journal_runs_where_a_hook_writes_to_it(image: HostImage) -> None:
    journal = "/etc/systemd/system/sysinit.target.wants/systemd-journald.service"
    assert journal in shape(plan("rx560"), image)
    assert journal not in shape(plan("single-gpu"), image)


def test_the_kernel_is_there_under_one_name(image: HostImage) -> None:
    assert removals(plan("rx560"), image) == tuple(
        f"/boot/{kind}-6.12.1" for kind in ("vmlinuz", "config", "System.map")
    )


def test_the_lab_gets_in_with_its_keys() -> None:
    found = access(visitor=KEY, host_key=KEY)
    assert found["/root/.ssh/authorized_keys"] == Put(data=KEY.public, mode=0o600)
    assert found["/etc/ssh/ssh_host_ed25519_key"] == Put(data=KEY.private, mode=0o600)
    assert found["/etc/ssh/ssh_host_ed25519_key.pub"] == Put(data=KEY.public)


def test_what_the_host_s_own_packages_have_is_not_imitated(image: HostImage) -> None:
    code = "/usr/share/edk2/x64/OVMF_CODE.4m.fd"
    (image.tree / code.lstrip("/")).parent.mkdir(parents=True)
    (image.tree / code.lstrip("/")).touch()
    assert code in shape(plan("rx560"), image)
    found = shape(plan("rx560"), replace(image, own="manjaro"))
    assert code not in found
    # The one that its packages lack is, and what the lab needs.
    assert {"/usr/share/edk2/x64/OVMF_VARS.4m.fd", "/etc/machine-id", "/boot/vmlinuz-6.12-x86_64"} <= set(
        found
    )


def test_a_host_that_shows_on_the_card_has_what_stands_for_it(image: HostImage) -> None:
    found = shape(plan("single-gpu"), image)
    units = "/etc/systemd/system"
    for name, word in (("sddm.service", b"sleep infinity"), ("dryboot-screen.service", b"vfb vfb_enable=1")):
        assert word in found[f"{units}/{name}"].data
        assert found[f"{units}/multi-user.target.wants/{name}"].link == f"../{name}"
    assert not [path for path in shape(plan("rx560"), image) if "sddm" in path or "screen" in path]
    bare = shape(resolve(read("single-gpu", settings=["host.display_manager=null"])), image)
    assert f"{units}/dryboot-screen.service" in bare
    assert f"{units}/sddm.service" not in bare
