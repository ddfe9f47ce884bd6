"""The launcher, run in a fake checkout on a machine made of stub commands."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REAL_COMMANDS = [
    "cat",
    "chmod",
    "env",
    "flock",
    "mkdir",
    "mv",
    "rm",
    "sha256sum",
    "sh",
    "sleep",
    "tail",
    "touch",
]
OS_RELEASE = {
    "debian": "ID=debian\nVERSION_ID=13\n",
    "ubuntu": 'ID=ubuntu\nID_LIKE=debian\nNAME="Ubuntu"\n',
    "mint": 'ID=linuxmint\nID_LIKE="ubuntu debian"\n',
    "arch": "ID=arch\n",
    "manjaro": "ID=manjaro\nID_LIKE=arch\n",
    "fedora": "ID=fedora\n",
    "gentoo": "ID=gentoo\n",
}
MANAGERS = {
    "debian": "apt-get",
    "ubuntu": "apt-get",
    "mint": "apt-get",
    "arch": "pacman",
    "manjaro": "pacman",
}
LAB_COMMANDS = ["apt-get", "mmdebstrap", "newuidmap", "mke2fs", "mcopy", "zstd", "xz"]

PYTHON = """
case $1$2 in
    -c*) echo "${PYTHON_ANSWER:-new 1 1 $0}" ;;
    -mvenv)
        mkdir -p "$3/bin"
        cat "$0" >"$3/bin/python"
        chmod +x "$3/bin/python"
        ;;
    -mpip)
        sleep "${PIP_SECONDS:-0}"
        echo "noise of pip"
        [ -z "${PIP_FAILS:-}" ] || exit 1
        printf '#!/bin/sh\\necho "invoke $*" >>"$CALLS"\\necho "cwd $DRYBOOT_CWD"\\n' >"${0%/*}/invoke"
        chmod +x "${0%/*}/invoke"
        ;;
esac
"""
PACKAGE_MANAGER = """
case "$*" in *update) exit ;; esac
[ -z "${MANAGER_FAILS:-}" ] || exit 100
for word; do touch "$STUBS/$word"; chmod +x "$STUBS/$word"; done
case "$*" in *virt*) touch "$STUBS/virt-install"; chmod +x "$STUBS/virt-install" ;; esac
case "$*" in *uidmap*) touch "$STUBS/newuidmap"; chmod +x "$STUBS/newuidmap" ;; esac
case "$*" in *mtools*) touch "$STUBS/mcopy"; chmod +x "$STUBS/mcopy" ;; esac
case "$*" in *libvirt*) touch "$STUBS/libvirt.pc" ;; esac
"""


class Machine:
    """A checkout, a root directory and a PATH."""

    def __init__(self, base: Path, distribution: str) -> None:
        self.checkout, self.system, self.stubs = base / "check out", base / "system", base / "stubs"
        self.calls_file = base / "calls"
        self.distribution = distribution
        self.environment: dict[str, str] = {}
        for directory in (self.checkout, self.stubs, self.system / "etc", self.system / "usr/share/keyrings"):
            directory.mkdir(parents=True)
        for name in ("dryboot", "requirements.lock"):
            shutil.copy(ROOT / name, self.checkout)
        (self.system / "etc/os-release").write_text(OS_RELEASE[distribution])
        (self.system / "usr/include").mkdir()
        (self.system / "usr/include/stdlib.h").touch()
        (self.system / "usr/share/keyrings/debian-archive-keyring.gpg").touch()
        for name in REAL_COMMANDS:
            (self.stubs / name).symlink_to(shutil.which(name) or f"/bin/{name}")
        for name in (*LAB_COMMANDS, "gcc", "pacman", "dnf", "virt-install"):
            self.stub(name, PACKAGE_MANAGER if name in {"apt-get", "pacman", "dnf"} else "")
        self.stub("python3", PYTHON)
        self.stub("id", 'echo "${USER_ID:-0}"')
        self.stub("sudo", 'exec "$@"')
        self.stub("pkg-config", '[ -e "$STUBS/libvirt.pc" ]')
        (self.stubs / "libvirt.pc").touch()

    def stub(self, name: str, body: str) -> None:
        path = self.stubs / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"$CALLS"\n{body}\n')
        path.chmod(0o755)

    def lacks(self, *names: str) -> None:
        for name in names:
            (self.stubs / name).unlink()

    def command(self, *args: str) -> tuple[list[str], dict[str, str]]:
        environment = {
            "PATH": str(self.stubs),
            "STUBS": str(self.stubs),
            "CALLS": str(self.calls_file),
            "DRYBOOT_SYSROOT": str(self.system),
            **self.environment,
        }
        return [str(self.checkout / "dryboot"), *args], environment

    def run(self, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        self.calls_file.unlink(missing_ok=True)
        command, environment = self.command(*args)
        return subprocess.run(
            command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=20, check=False
        )

    def calls(self, *of: str) -> list[str]:
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text().splitlines()
        return [line for line in lines if not of or line.partition(" ")[0] in of]

    def installs(self) -> list[str]:
        return [c for c in self.calls("apt-get", "pacman", "dnf") if not c.endswith(" update")]


@pytest.fixture
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    return Machine(tmp_path, getattr(request, "param", "debian"))


@pytest.mark.parametrize(
    ("machine", "package"),
    [
        ("debian", "libvirt-dev"),
        ("ubuntu", "libvirt-dev"),
        ("mint", "libvirt-dev"),
        ("arch", "libvirt"),
        ("manjaro", "libvirt"),
        ("fedora", "libvirt-devel"),
    ],
    indirect=["machine"],
)
def test_root_installs_what_is_missing_and_only_that(machine: Machine, package: str) -> None:
    machine.lacks("libvirt.pc")
    result = machine.run("build")
    assert result.returncode == 0, result.stderr
    (install,) = machine.installs()
    assert install.split()[0] == MANAGERS.get(machine.distribution, "dnf")
    assert install.split()[-1] == package
    assert not [word for word in install.split() if word in {"gcc", "mtools", "zstd"}]
    assert not machine.calls("sudo")
    assert f"  {package}: headers and library for the libvirt bindings\n" in result.stderr
    assert machine.calls("invoke") == [f"invoke --search-root {machine.checkout} build"]


@pytest.mark.parametrize("machine", ["debian", "manjaro", "fedora"], indirect=True)
def test_others_install_through_sudo(machine: Machine) -> None:
    machine.lacks("libvirt.pc")
    machine.environment["USER_ID"] = "1000"
    assert machine.run("build").returncode == 0
    assert len(machine.calls("sudo")) == len(machine.calls("apt-get", "pacman", "dnf")) > 0


def test_without_sudo_it_names_the_packages(machine: Machine) -> None:
    machine.lacks("libvirt.pc", "sudo")
    machine.environment["USER_ID"] = "1000"
    result = machine.run("build")
    assert result.returncode == 3
    assert "Please install as root: libvirt-dev" in result.stderr
    assert not machine.installs()


def test_unknown_distribution(machine: Machine) -> None:
    (machine.system / "etc/os-release").write_text(OS_RELEASE["gentoo"])
    machine.lacks("libvirt.pc")
    result = machine.run("build")
    assert result.returncode == 3
    assert "not one I know" in result.stderr
    assert "  libvirt: headers" in result.stderr
    assert not (machine.checkout / ".venv").exists()


@pytest.mark.parametrize("machine", ["gentoo"], indirect=True)
def test_unknown_distribution_that_lacks_nothing(machine: Machine) -> None:
    assert machine.run("verify").returncode == 0


@pytest.mark.parametrize("machine", ["debian", "arch", "fedora"], indirect=True)
def test_no_install(machine: Machine) -> None:
    machine.lacks("libvirt.pc")
    machine.environment["DRYBOOT_NO_INSTALL"] = "1"
    result = machine.run("build")
    assert result.returncode == 3
    assert "libvirt" in result.stderr
    assert not machine.calls("apt-get", "pacman", "dnf", "sudo")
    assert not (machine.checkout / ".venv").exists()


@pytest.mark.parametrize("machine", ["debian", "arch", "fedora"], indirect=True)
def test_failing_package_manager(machine: Machine) -> None:
    machine.lacks("mcopy")
    machine.environment["MANAGER_FAILS"] = "1"
    result = machine.run("verify")
    assert result.returncode == 3
    assert "mtools: makes FAT disks for the firmware" in result.stderr
    assert not machine.calls("invoke")


def test_package_that_does_not_bring_what_is_needed(machine: Machine) -> None:
    machine.lacks("mcopy")
    machine.stub("apt-get", "")
    result = machine.run("verify")
    assert result.returncode == 3
    assert "still not found:\n  mcopy: makes FAT disks" in result.stderr


@pytest.mark.parametrize("task", ["build", "lint", "schema", "doctor", "fmt", "--list"])
def test_base_tasks_ask_for_nothing_of_the_lab(machine: Machine, task: str) -> None:
    machine.lacks("mcopy", "mmdebstrap", "zstd", "virt-install")
    result = machine.run(task)
    assert result.returncode == 0, result.stderr
    assert not machine.installs()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["verify", "a.yaml"], "mtools"),
        (["matrix", "--scenario", "rx560"], "mtools"),
        (["worker", "--scheduler", "tcp://host:8786"], "mtools"),
        (["test"], "mtools"),
        (["bench"], "mtools virtinst"),
        (["lint", "a.yaml", "verify", "a.yaml"], "mtools"),
        (["build", "--out", "test"], ""),
        (["verify", "--help"], ""),
        (["--help", "verify"], ""),
    ],
)
def test_sets(machine: Machine, args: list[str], expected: str) -> None:
    machine.lacks("mcopy", "virt-install")
    machine.run(*args)
    installed = [c.partition("--no-install-recommends ")[2] for c in machine.installs()]
    assert installed == ([expected] if expected else [])


@pytest.mark.parametrize("machine", ["arch", "manjaro"], indirect=True)
def test_what_no_package_has_stops_before_anything_changes(machine: Machine) -> None:
    machine.lacks("mmdebstrap", "mcopy")
    result = machine.run("verify")
    assert result.returncode == 3
    assert "mmdebstrap: makes the root file systems of the lab" in result.stderr
    assert not machine.installs()
    assert not (machine.checkout / ".venv").exists()


@pytest.mark.parametrize(("user", "expected"), [("0", 0), ("1000", 1)])
def test_only_users_need_uidmap(machine: Machine, user: str, expected: int) -> None:
    machine.lacks("newuidmap")
    machine.environment["USER_ID"] = user
    machine.run("verify")
    assert len([call for call in machine.installs() if call.endswith(" uidmap")]) == expected


def test_old_python(machine: Machine) -> None:
    machine.environment["PYTHON_ANSWER"] = "old 1 1 /usr/bin/python3.9"
    result = machine.run("build")
    assert result.returncode == 3
    assert "/usr/bin/python3.9 is older than Python 3.11" in result.stderr
    assert not machine.installs()


def test_newer_python_beside_an_old_one(machine: Machine) -> None:
    machine.stub("python3", "echo old 1 1 /usr/bin/python3.9")
    machine.stub("python3.12", PYTHON)
    assert machine.run("build").returncode == 0
    assert f"python3.12 -m venv {machine.checkout}/.venv" in machine.calls("python3.12")
    assert machine.calls("invoke")


def test_missing_venv_module_names_the_chosen_python(machine: Machine) -> None:
    machine.environment["PYTHON_ANSWER"] = "new 0 0 /usr/bin/python3"
    machine.run("build")
    assert machine.installs()[0].endswith(" python3-venv python3-dev")


def test_second_start_does_nothing_heavy(machine: Machine) -> None:
    machine.run("build")
    result = machine.run("build")
    assert machine.calls() == [f"invoke --search-root {machine.checkout} build"]
    assert result.stderr == ""


@pytest.mark.parametrize("change", ["lock", "stamp", "python", "moved"])
def test_stale_set_up_is_made_anew(machine: Machine, change: str) -> None:
    machine.run("build")
    (machine.checkout / ".venv/leftover").touch()
    if change == "lock":
        with (machine.checkout / "requirements.lock").open("a") as lock:
            lock.write("# changed\n")
    elif change == "stamp":
        (machine.checkout / ".venv/stamp").unlink()
    elif change == "python":
        (machine.checkout / ".venv/bin/python").unlink()
    else:
        machine.checkout = machine.checkout.rename(machine.checkout.with_name("elsewhere"))
    assert machine.run("build").returncode == 0
    assert len([c for c in machine.calls("python3") if " -m pip install" in c]) == 1
    assert not (machine.checkout / ".venv/leftover").exists()
    machine.run("build")
    assert not machine.calls("python3")


def test_failing_pip_shows_the_log_and_the_next_start_tries_again(machine: Machine) -> None:
    machine.environment["PIP_FAILS"] = "1"
    result = machine.run("build")
    assert result.returncode == 3
    assert "noise of pip" in result.stderr
    assert "setup.log" in result.stderr
    del machine.environment["PIP_FAILS"]
    result = machine.run("build")
    assert result.returncode == 0
    assert "noise of pip" not in result.stdout + result.stderr


def test_two_starts_at_once_set_up_once(machine: Machine) -> None:
    machine.environment["PIP_SECONDS"] = "0.3"
    command, environment = machine.command("build")
    starts = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [start.wait(timeout=20) for start in starts] == [0, 0]
    assert len([c for c in machine.calls("python3") if " -m pip install" in c]) == 1
    assert len(machine.calls("invoke")) == 2


def test_killed_set_up_leaves_nothing_in_the_way(machine: Machine) -> None:
    machine.environment["PIP_SECONDS"] = "10"
    command, environment = machine.command("build")
    start = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 5
    while not any("pip" in call for call in machine.calls("python3")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(start.pid, signal.SIGKILL)
    start.wait()
    del machine.environment["PIP_SECONDS"]
    assert machine.run("build").returncode == 0


def test_working_directory_and_arguments_are_kept(machine: Machine, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    result = machine.run("lint", "a b.yaml", "$HOME", cwd=elsewhere)
    assert machine.calls("invoke") == [f"invoke --search-root {machine.checkout} lint a b.yaml $HOME"]
    assert result.stdout == f"cwd {elsewhere}\n"


def test_started_through_a_link(machine: Machine, tmp_path: Path) -> None:
    (machine.stubs / "readlink").symlink_to(shutil.which("readlink") or "/bin/readlink")
    (tmp_path / "link").symlink_to(machine.checkout / "dryboot")
    command, environment = machine.command("build")
    subprocess.run([tmp_path / "link", *command[1:]], env=environment, capture_output=True, check=True)
    assert machine.calls("invoke") == [f"invoke --search-root {machine.checkout} build"]


@pytest.mark.parametrize(("args", "usage"), [([], False), (["--help"], True), (["-h"], True)])
def test_without_a_task_it_lists_them(machine: Machine, args: list[str], usage: bool) -> None:
    result = machine.run(*args)
    assert machine.calls("invoke") == [f"invoke --search-root {machine.checkout} --list"]
    assert ("Usage: ./dryboot" in result.stdout) == usage


def test_exit_code_is_that_of_the_task(machine: Machine) -> None:
    machine.run("build")
    (machine.checkout / ".venv/bin/invoke").write_text("#!/bin/sh\nexit 130\n")
    assert machine.run("build").returncode == 130


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_shell_syntax(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not here")
    subprocess.run([shell, "-n", ROOT / "dryboot"], check=True)
