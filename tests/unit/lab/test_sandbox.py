"""Steps in real namespaces, over a small tree with a shell of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import LabFault
from pipeline.lab import sandbox
from pipeline.lab.overlay import Put, of_tree
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.sandbox import Step, StepDone, Worked

UUID = "64727962-0000-0000-0000-000000000001"
Work = Callable[..., Worked]


def namespaces() -> bool:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    layers = "lowerdir=/usr,upperdir=/mnt/u,workdir=/mnt/w"
    script = f"mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w && mount -t overlay -o {layers} o /mnt"
    argv = ["unshare", *user, "--mount", "--pid", "--net", "--fork", "sh", "-c", script]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not namespaces(), reason="this machine allows no namespaces with an overlay")


def with_libraries(program: str, tree: Path) -> None:
    found = shutil.which(program)
    assert found is not None
    paths = {Path(found).resolve()}
    said = subprocess.run(["ldd", found], capture_output=True, text=True, check=False).stdout
    paths |= {Path(path) for path in re.findall(r"(/\S+) \(0x", said)}
    for path in paths:
        target = tree / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    shutil.copy(Path(found).resolve(), tree / "bin" / program)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    found = tmp_path / "tree"
    for folder in ("bin", "usr/sbin", "dev", "proc", "sys", "run", "tmp", "etc", "var/cache"):
        (found / folder).mkdir(parents=True)
    for program in ("sh", "cat", "ln", "ls", "rm", "chmod", "mkdir"):
        with_libraries(program, found)
    (found / "etc/kept").write_text("as it was")
    (found / "usr/sbin/grub-probe").write_text("#!/bin/sh\necho the real one\n")
    (found / "usr/sbin/grub-probe").chmod(0o755)
    return found


@pytest.fixture
def work(tree: Path, tmp_path: Path) -> Work:
    (tmp_path / "run").mkdir()

    def run(*steps: str | Step, files: dict[str, Put] | None = None, removed: tuple[str, ...] = ()) -> Worked:
        wanted = [Step(argv=("/bin/sh", "-c", step)) if isinstance(step, str) else step for step in steps]
        return sandbox.work(
            tree, files or {}, wanted, uuid=UUID, run=RunDirectory(tmp_path / "run"), removed=removed
        )

    return run


def test_each_step_has_its_status_and_what_it_said_and_the_next_one_runs(work: Work) -> None:
    worked = work("echo out; echo err >&2", "exit 3", Step(argv=("no-such-program",)), "echo last")
    assert worked.outcomes[:2] == (StepDone(status=0, output="out\nerr\n"), StepDone(status=3, output=""))
    assert worked.outcomes[2].status == 127
    assert worked.outcomes[3].output == "last\n"


def test_files_are_there_and_what_is_new_or_changed_comes_out(work: Work, tree: Path) -> None:
    before = {path: os.lstat(tree / path.lstrip("/")).st_mtime_ns for path in of_tree(tree)}
    worked = work(
        "cat /etc/put > /etc/kept; mkdir /boot; echo made > /boot/made; chmod 640 /boot/made; ln -s made /boot/link",
        files={"/etc/put": Put(data=b"put", mode=0o600), "/etc/link": Put(link="put")},
    )
    found = of_tree(worked.changed)
    assert set(found) == {"/etc/put", "/etc/link", "/etc/kept", "/boot/made", "/boot/link"}
    assert (found["/etc/put"].mode, found["/boot/made"].mode) == (0o600, 0o640)
    assert (found["/etc/link"].link, found["/boot/link"].link) == ("put", "made")
    assert (worked.changed / "etc/kept").read_bytes() == b"put"
    assert {path: os.lstat(tree / path.lstrip("/")).st_mtime_ns for path in of_tree(tree)} == before
    assert (tree / "etc/kept").read_text() == "as it was"


def test_what_is_gone_is_told(work: Work) -> None:
    assert work("rm /usr/sbin/grub-probe || true; rm /etc/kept").removed == ("/etc/kept",)


def test_what_shall_be_gone_is_gone_before_the_first_step(work: Work) -> None:
    worked = work("ls /etc", removed=("/etc/kept", "/etc/never"))
    assert worked.outcomes[0].output == ""
    assert worked.removed == ("/etc/kept",)


def test_what_tools_keep_for_themselves_stays_behind(work: Work) -> None:
    worked = work("echo x > /tmp/x; echo x > /run/x; echo x > /var/cache/x; echo x > /dev/null")
    assert worked.outcomes[0].output == ""
    assert of_tree(worked.changed) == {}


def test_a_step_from_outside_is_told_where_the_root_is(work: Work) -> None:
    worked = work(Step(argv=("cp", "{root}/etc/kept", "{root}/etc/copied"), outside=True))
    assert worked.outcomes[0].status == 0
    assert (worked.changed / "etc/copied").read_text() == "as it was"


def test_the_disk_is_as_the_virtual_machine_will_have_it(work: Work) -> None:
    probe = "/usr/sbin/grub-probe"
    worked = work(
        f"for target in device fs fs_uuid partmap; do echo $target $({probe} --target=$target /); done",
        f"{probe} --device /dev/vda --target=fs_uuid; {probe} -t device /boot; "
        f"[ -e /dev/disk/by-uuid/{UUID} ] && echo there",
    )
    assert worked.outcomes[0].output == f"device /dev/vda\nfs ext2\nfs_uuid {UUID}\npartmap\n"
    assert worked.outcomes[1].output == f"{UUID}\n/dev/vda\nthere\n"


def test_this_machine_is_not_seen(work: Work) -> None:
    worked = work("ls /sys; read pid rest < /proc/self/stat; echo $((pid < 100)); cat /proc/net/dev")
    lines = worked.outcomes[0].output.splitlines()
    assert lines[0] == "1"
    assert [line.split(":")[0].strip() for line in lines if ":" in line] == ["lo"]


def test_nothing_stays_mounted_and_nothing_is_left_but_what_changed(work: Work, tmp_path: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    work("echo x > /etc/x")
    assert Path("/proc/self/mountinfo").read_text() == before
    assert list((tmp_path / "run/sandbox/scratch").iterdir()) == []


def test_a_tree_that_is_not_there_is_a_lab_fault(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(LabFault, match="the host's tools could not be run"):
        sandbox.work(tmp_path / "none", {}, [], uuid=UUID, run=RunDirectory(tmp_path / "run"))


def test_the_tools_find_the_lab_s_hardware_and_none_of_this_machine(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    step = Step(argv=("/bin/sh", "-c", "ls /sys /sys/devices; cat /sys/devices/*/*/uevent"))
    aliases = ["pci:v00001002d000067EF*", "pci:v00001002d0000AAE0*"]
    run = RunDirectory(tmp_path / "run")
    (done,) = sandbox.work(tree, {}, [step], uuid=UUID, run=run, modaliases=aliases).outcomes
    said = done.output.splitlines()
    assert said[-2:] == [f"MODALIAS={alias}" for alias in aliases]
    assert said[:-2] == ["/sys:", "devices", "", "/sys/devices:", "dryboot"]
