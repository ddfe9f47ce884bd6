"""A whole machine, a bundle, and what the one and the other leave open."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import BadInput, Place
from pipeline.files.setup import read, read_files, read_tree
from pipeline.files.tree import Files
from pipeline.pci import Address
from pipeline.plan.model import Written
from pipeline.setup.domain import Domain, Firmware, GuestCpu, HostDevice
from pipeline.setup.model import Origin, Setup
from tests.machines import LSPCI, MANJARO, machine, no_domains, setup_of

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
BUNDLES = sorted(path.name for path in GOLDEN.iterdir() if (path / "etc").is_dir())
CHECKOUT = GOLDEN.parents[1]


def passed(setup: Setup) -> list[str]:
    assert setup.board is not None
    return [str(one.address) for one in setup.board.passed]


def domain_of(*addresses: str, shown: str = "guest.xml") -> Domain:
    place = Place(file=shown, line=1)
    return Domain(
        name="guest",
        place=place,
        machine=Written(value="q35", place=place),
        memory=Written(value=1, place=place),
        threads=Written(value=1, place=place),
        firmware=Firmware(place=place),
        cpu=GuestCpu(mode="host-passthrough", place=place),
        host_devices=tuple(HostDevice(source=Address.parse(one), place=place) for one in addresses),
        host_devices_where=place,
    )


def domains(data: bytes, *, shown: str) -> tuple[Domain, ...]:
    """The addresses in the data, as if it were XML."""
    if data.startswith(b"bad"):
        raise BadInput("it is bad", place=Place(file=shown, line=1), hint="mend it")
    return (domain_of(*data.decode().split(), shown=shown),)


def test_the_host() -> None:
    setup = machine()
    host = setup.host
    assert setup.origin is Origin.FILES
    assert setup.name == "mine"
    assert (host.distribution, host.bootloader, host.cpu_vendor) == ("manjaro", "grub", "amd")
    assert (host.threads, host.memory) == (2, 1 << 20)
    assert host.facts is not None
    assert host.facts.preset == "/etc/mkinitcpio.d/linux612.preset"
    assert str(host.place) == "m/etc/os-release"
    assert host.kernel == Written(value="6.12", place=Place(file="m/boot/vmlinuz-6.12-x86_64"))
    assert host.qemu is not None
    assert host.qemu.value == "10.1"
    assert host.firmware_files == {"/usr/share/edk2/x64/OVMF_CODE.4m.fd"}
    assert setup.unread == ()


def test_commands_and_where_they_stand() -> None:
    assert [(one.value, str(one.place)) for one in machine().host.commands] == [
        ("/usr/bin/mkinitcpio -P", "m/etc/pacman.d/hooks/a.hook:2:8"),
        ("mkinitcpio -p linux612", "m/usr/local/bin/rebuild:3:8"),
        ("update-grub", "m/usr/local/bin/rebuild:5:1"),
    ]


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        (
            "usr/local/sbin/a",
            "f() { exec /usr/sbin/update-initramfs -u; }\n",
            ["/usr/sbin/update-initramfs -u"],
        ),
        (
            "root/a.sh",
            "for k in 6.1 6.12; do dracut -f --kver $k; done\n",
            ["dracut -f --kver 6.1", "dracut -f --kver 6.12"],
        ),
        ("root/a.txt", "mkinitcpio -P\n", []),
        ("usr/local/bin/a", "#!/usr/bin/python3\nmkinitcpio -P\n", []),
        ("usr/local/bin/a", "# mkinitcpio -P\necho mkinitcpio\n", []),
        (
            "usr/local/bin/a",
            'X=1 sudo -n mkinitcpio -g "/boot/a b.img" >/dev/null\n',
            ["mkinitcpio -g /boot/a b.img"],
        ),
        ("etc/pacman.d/hooks/a.hook", "Exec = /bin/sh -c 'x && mkinitcpio -P'\n", ["mkinitcpio -P"]),
        (
            "etc/kernel/postinst.d/zz",
            "#!/bin/sh\ngrub-mkconfig -o /boot/grub/grub.cfg\n",
            ["grub-mkconfig -o /boot/grub/grub.cfg"],
        ),
    ],
)
def test_commands_of_each_kind(path: str, content: str, expected: list[str]) -> None:
    assert [one.value for one in setup_of({path: content}).host.commands] == expected


def test_the_board() -> None:
    board = machine().board
    assert board is not None
    assert [(str(one.address), one.class_code, one.drivers, one.in_use) for one in board.functions] == [
        ("01:00.0", "0300", ("amdgpu",), "amdgpu"),
        ("01:00.1", "0403", ("snd_hda_intel",), "snd_hda_intel"),
        ("02:00.0", "0108", ("nvme",), ""),
    ]
    assert str(board.functions[0].place) == "m/lspci.txt:3:1"
    assert board.groups == (
        frozenset(map(Address.parse, ("01:00.0", "01:00.1"))),
        frozenset({Address.parse("02:00.0")}),
    )


def test_the_board_by_the_kernels_own_table() -> None:
    table = {"usr/lib/modules/6.12.3-1-MANJARO/modules.alias": "alias pci:v*d*sv*sd*bc01sc08i02* own_nvme\n"}
    board = setup_of({**MANJARO, **table}).board
    assert board is not None
    assert board.functions[2].drivers == ("own_nvme",)


def test_the_board_by_sysfs(tmp_path: Path) -> None:
    devices = tmp_path / "sys/bus/pci/devices"
    real = tmp_path / "sys/devices/pci0000:00/0000:01:00.0"
    real.mkdir(parents=True)
    devices.mkdir(parents=True)
    values = {"vendor": "1002", "device": "67ef", "class": "030000", "subsystem_vendor": "148c"}
    for name, value in {**values, "subsystem_device": "2385"}.items():
        (real / name).write_text(f"0x{value}\n")
    (real / "driver").symlink_to("../../../bus/pci/drivers/amdgpu")
    (devices / "0000:01:00.0").symlink_to("../../../devices/pci0000:00/0000:01:00.0")
    (devices / "0000:02:00.0").mkdir()
    board = read(tmp_path, shown="/", read_domains=no_domains).board
    assert board is not None
    (function,) = board.functions
    assert (str(function.address), str(function.ids), str(function.subsystem)) == (
        "01:00.0",
        "1002:67ef",
        "148c:2385",
    )
    assert (function.class_code, function.in_use, function.drivers[0]) == ("030000", "amdgpu", "amdgpu")
    assert function.place.file == "/sys/bus/pci/devices/0000:01:00.0"


def test_programs_are_passed_over() -> None:
    setup = setup_of({"usr/local/bin/a": "\x7fELF mkinitcpio", "usr/local/bin/b": "x" * (1 << 21)})
    assert setup.host.commands == ()
    assert setup.unread == ()


def test_without_groups_or_list() -> None:
    files = {path: content for path, content in MANJARO.items() if not path.startswith("sys/")}
    board = setup_of(files).board
    assert board is not None
    assert board.groups is None
    assert machine(lspci_dot_txt=None).board is None


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ("1002:67ef,1002:aae0", ["01:00.0", "01:00.1"]),
        ("1002:67EF", ["01:00.0"]),
        ("148c:2385,1002:aae0", ["01:00.0", "01:00.1"]),
        ("dead:beef", []),
    ],
)
def test_passed_by_ids(ids: str, expected: list[str]) -> None:
    setup = machine(etc__modprobe_dot_d__vfio_dot_conf=f"options vfio-pci ids={ids}\n")
    assert passed(setup) == expected
    assert str(setup.passed_where) == "m/etc/modprobe.d/vfio.conf:1:18"


def test_passed_by_ids_on_the_command_line() -> None:
    setup = machine(
        etc__modprobe_dot_d__vfio_dot_conf=None,
        etc__default__grub="GRUB_CMDLINE_LINUX=vfio-pci.ids=144d:a808\n",
    )
    assert passed(setup) == ["02:00.0"]


def test_passed_by_domains() -> None:
    files = {path: content.encode() for path, content in MANJARO.items()}
    files["etc/libvirt/qemu/guest.xml"] = b"02:00.0"
    files["etc/libvirt/qemu/bad.xml"] = b"bad"
    setup = read_files(files, shown="", read_domains=domains)
    assert passed(setup) == ["02:00.0"]
    assert setup.passed_where.file == "etc/libvirt/qemu/guest.xml"
    assert [(str(one.place), one.what) for one in setup.unread] == [
        ("etc/libvirt/qemu/bad.xml:1", "not read: it is bad (mend it)")
    ]


QEMU = "Package: qemu-system-x86\n"
SCRIPT = "#!/bin/sh\n# not 0000:05:00.0\nfor f in 0000:01:00.0 0000:01:00.1; do "
SCRIPT += "echo vfio-pci > /sys/bus/pci/devices/$f/driver_override; done\n"


@pytest.mark.parametrize(
    "files",
    [
        {"etc/modprobe.d/a.conf": "install vfio-pci /usr/local/bin/o\n", "usr/local/bin/o": SCRIPT},
        {"etc/modprobe.d/a.conf": "install vfio_pci sh '/usr/local/bin/o'; x\n", "usr/local/bin/o": SCRIPT},
        {"etc/initramfs-tools/scripts/init-top/a": SCRIPT},
        {"etc/initcpio/hooks/a": SCRIPT},
        {"etc/driverctl.d/0000:01:00.0": "vfio-pci\n", "etc/driverctl.d/0000:01:00.1": "vfio-pci\n"},
    ],
)
def test_overrides(files: dict[str, str]) -> None:
    setup = setup_of({**files, "lspci.txt": LSPCI})
    assert [str(one) for one in setup.host.overrides] == ["01:00.0", "01:00.1"]
    assert passed(setup) == ["01:00.0", "01:00.1"]


def test_a_script_that_finds_its_functions_itself() -> None:
    script = "for f in /sys/bus/pci/devices/*; do echo vfio-pci > $f/driver_override; done\n"
    files = {"etc/modprobe.d/a.conf": "install vfio-pci /usr/local/bin/o\n", "usr/local/bin/o": script}
    setup = setup_of(files)
    assert setup.host.overrides == ()
    assert [str(one.place) for one in setup.unread] == ["m/usr/local/bin/o"]
    assert setup_of({"usr/local/bin/o": SCRIPT}).host.overrides == ()


@pytest.mark.parametrize(
    ("files", "expected", "place"),
    [
        ({"etc/default/grub": "GRUB_CMDLINE_LINUX='hugepages=4'\n"}, 8 << 20, "m/etc/default/grub:1:21"),
        (
            {"etc/default/grub": "GRUB_CMDLINE_LINUX='default_hugepagesz=1G hugepagesz=1G hugepages=16'\n"},
            16 << 30,
            "m/etc/default/grub:1:57",
        ),
        (
            {"etc/default/grub": "GRUB_CMDLINE_LINUX='hugepages=0:1,1:2 hugepagesz=1G hugepages=1'\n"},
            (6 << 20) + (1 << 30),
            None,
        ),
        ({"etc/sysctl.d/a.conf": "# x\nvm.nr_hugepages = 8\n"}, 16 << 20, "m/etc/sysctl.d/a.conf:2:19"),
        ({"etc/sysctl.conf": "vm.nr_hugepages=8"}, 16 << 20, None),
        (
            {"etc/sysctl.conf": "vm.nr_hugepages=8", "etc/default/grub": "GRUB_CMDLINE_LINUX=hugepages=4"},
            16 << 20,
            None,
        ),
        ({}, None, None),
    ],
)
def test_hugepages(files: dict[str, str], expected: int | None, place: str | None) -> None:
    found = setup_of(files).host.hugepages
    assert (found.value if found else None) == expected
    if place:
        assert found is not None
        assert str(found.place) == place


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"usr/lib/modules/6.12.3-arch1-1/vmlinuz": "", "usr/lib/modules/6.18.1-arch1-1/x": ""}, "6.12"),
        ({"usr/lib/modules/6.9.3-a/x": "", "lib/modules/6.12.1-a/x": ""}, "6.12"),
        (
            {"boot/vmlinuz-6.1.0-28-amd64": "", "boot/vmlinuz-6.12.5-amd64": "", "boot/vmlinuz-linux": ""},
            "6.12",
        ),
        ({"etc/mkinitcpio.d/linux612.preset": "", "etc/mkinitcpio.d/linux69.preset": ""}, "6.12"),
        ({"boot/vmlinuz-linux": ""}, None),
    ],
)
def test_the_kernel(files: dict[str, str], expected: str | None) -> None:
    found = setup_of(files).host.kernel
    assert (found.value if found else None) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"var/lib/pacman/local/qemu-system-x86-1:11.1.0-2/desc": ""}, "11.1"),
        ({"var/lib/pacman/local/qemu-img-11.1.0-2/desc": ""}, None),
        (
            {"var/lib/dpkg/status": QEMU + "Status: install ok installed\nVersion: 1:10.0.2+ds-1\n\n"},
            "10.0",
        ),
        (
            {
                "var/lib/dpkg/status": f"Package: x\n\n{QEMU}Status: deinstall ok config-files\nVersion: 1:7.2\n"
            },
            None,
        ),
        (
            {"var/lib/dpkg/status": QEMU + "\nPackage: y\nStatus: install ok installed\nVersion: 1.2\n"},
            None,
        ),
    ],
)
def test_qemu(files: dict[str, str], expected: str | None) -> None:
    found = setup_of(files).host.qemu
    assert (found.value if found else None) == expected


@pytest.mark.parametrize(
    ("content", "name", "known"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "debian", True),
        ("ID=ubuntu\nID_LIKE=debian\n", "ubuntu", False),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "debian", False),
        ('ID="endeavouros"\nID_LIKE="arch"\n', "arch", False),
        ("ID=gentoo\n", "gentoo", False),
        ('ID="unclosed\n', "unclosed", False),
        ("", None, False),
    ],
)
def test_the_distribution(content: str, name: str | None, known: bool) -> None:
    host = setup_of({"usr/lib/os-release": content}).host
    assert host.distribution == name
    assert (host.facts is not None) is known


def test_generations() -> None:
    def preset(release: str, kernel: str) -> bool:
        facts = setup_of({"etc/os-release": release, f"boot/vmlinuz-{kernel}": ""}).host.facts
        assert facts is not None
        return facts.fallback_by_default

    assert preset("ID=manjaro", "4.19-x86_64")
    assert not preset("ID=manjaro", "6.12-x86_64")
    assert preset("ID=arch", "6.12")
    assert not preset("ID=arch", "6.18")


def test_what_the_caller_says_goes_before() -> None:
    files = Files({path: content.encode() for path, content in MANJARO.items()})
    host = read_tree(
        files, shown="m", kernel="6.1", qemu="7.2", distribution="debian", year=2024, read_domains=no_domains
    ).host
    assert host.kernel == Written(value="6.1", place=Place(file="--kernel", text="6.1"))
    assert host.qemu is not None
    assert (host.qemu.value, host.distribution) == ("7.2", "debian")
    assert host.facts is not None
    assert host.facts.os_release["VERSION_ID"] == "12"


def test_a_manifest_stands_in() -> None:
    manifest = MANJARO["manifest.json"]
    setup = setup_of({"manifest.json": manifest, "etc/mkinitcpio.conf": ""}, shown="build/x")
    host = setup.host
    assert (setup.name, host.distribution) == ("mine", "arch")
    assert host.kernel is not None
    assert (host.kernel.value, str(host.kernel.place)) == ("6.18", "build/x/manifest.json:2:1")
    assert host.facts is not None
    assert host.firmware_files is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"assumed": 1}', "[" * 100_000])
def test_what_is_no_manifest(content: str) -> None:
    setup = setup_of({"manifest.json": content})
    assert [one.place.file for one in setup.unread] == ["m/manifest.json"]


def contents(name: str) -> dict[str, bytes]:
    root = GOLDEN / name
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_understood(name: str) -> None:
    """In memory and in a directory alike, with nothing left unread."""
    setup = read_files(contents(name), shown=f"build/{name}", read_domains=no_domains)
    assert setup.unread == ()
    assert setup.host.bootloader in {"grub", "systemd-boot", "uki"}
    assert setup.host.command_line is not None
    assert "iommu=pt" in {one.value for one in setup.host.command_line.parameters}
    assert setup.host.modprobe is not None
    if setup.host.until_guest_starts:
        assert setup.host.initramfs is None
    else:
        assert setup.host.initramfs is not None
        assert setup.host.initramfs.modules[0].value == "vfio_pci"
        assert setup.host.modprobe.vfio_ids or setup.host.overrides
    assert setup.host.until_guest_starts == (name == "single-gpu")
    assert setup.host.grub.broken == ()
    on_disk = read(GOLDEN / name, shown=f"build/{name}", read_domains=no_domains)
    assert replace(on_disk.host, initramfs=None) == replace(setup.host, initramfs=None)


@pytest.mark.parametrize("name", BUNDLES)
def test_what_a_bundle_says_stands_at_its_place(name: str) -> None:
    files = contents(name)
    setup = read_files(files, shown="", read_domains=no_domains)
    assert setup.host.command_line is not None
    assert setup.host.modprobe is not None
    initramfs = setup.host.initramfs
    for one in (
        *setup.host.command_line.parameters,
        *setup.host.modprobe.vfio_ids,
        *(initramfs.modules if initramfs else ()),
        *(initramfs.hooks if initramfs else ()),
    ):
        line = files[one.place.file].decode().split("\n")[one.place.line - 1]
        assert line[one.place.column - 1 :].startswith(one.value)
        assert one.place.text == line.strip()


HOOK = "#!/bin/sh\nmodprobe vfio-pci\n"


@pytest.mark.parametrize(
    ("files", "hands_over"),
    [
        ({"etc/libvirt/hooks/qemu": HOOK}, True),
        ({"etc/libvirt/hooks/qemu.d/any": HOOK}, True),
        ({"etc/libvirt/hooks/qemu.d/win10/prepare/begin/start.sh": HOOK}, True),
        ({"etc/libvirt/hooks/qemu.d/win10/release/end/stop.sh": HOOK}, False),
        ({"etc/libvirt/hooks/qemu": "#!/bin/sh\n# vfio\ncpupower frequency-set -g performance\n"}, False),
        (
            {"etc/libvirt/hooks/qemu": HOOK, "etc/modprobe.d/vfio.conf": "options vfio-pci ids=1002:67ef\n"},
            False,
        ),
    ],
)
def test_a_host_that_gives_its_card_away_when_the_guest_starts(
    files: dict[str, str], hands_over: bool
) -> None:
    assert setup_of(files).host.until_guest_starts is hands_over


def test_a_known_board_goes_with_a_bundle() -> None:
    board = machine().board
    assert board is not None
    files = {**contents("rx560"), "libvirt/guest.xml": b"02:00.0"}
    del files["libvirt/win10.xml"]
    setup = read_files(files, shown="", board=board, read_domains=domains)
    assert passed(setup) == ["02:00.0"]
    assert passed(read_files({}, shown="", board=board)) == passed(machine())


def test_a_bundle_takes_milliseconds() -> None:
    files = contents("rx560")
    read_files(files, shown="", read_domains=no_domains)
    start = time.process_time()
    for _ in range(20):
        read_files(files, shown="", read_domains=no_domains)
    assert (time.process_time() - start) / 20 < 0.02


def test_files_that_the_user_names(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "list").write_text(LSPCI)
    (tmp_path / "guest.xml").write_text("01:00.1")
    setup = read(
        tmp_path / "root",
        shown="/",
        lspci=tmp_path / "list",
        domain_files=[tmp_path / "guest.xml"],
        read_domains=domains,
    )
    assert passed(setup) == ["01:00.1"]
    assert setup.board is not None
    assert setup.board.functions[0].place.file == str(tmp_path / "list")


@pytest.mark.parametrize("content", [None, b"bad", b"\0"])
def test_a_named_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "named"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput):
        if content == b"\0":
            read(tmp_path, shown="/", lspci=path)
        else:
            read(tmp_path, shown="/", domain_files=[path], read_domains=domains)


def test_places_under_the_root(tmp_path: Path) -> None:
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "etc/default/grub").write_text("GRUB_CMDLINE_LINUX=a\n")
    for shown, file in (
        ("/", "/etc/default/grub"),
        ("build/x/", "build/x/etc/default/grub"),
        ("", "etc/default/grub"),
    ):
        line = read(tmp_path, shown=shown).host.command_line
        assert line is not None
        assert line.where.file == file


WATCH = """
import sys
from pathlib import Path
from pipeline.files.setup import read
from tests.machines import machine, no_domains
machine()
root, seen = sys.argv[1], []
def hook(event, arguments):
    if event == "open" and str(arguments[0]).startswith("/") and not str(arguments[0]).startswith(root):
        seen.append(arguments[0])
    if event.split(".")[0] in {"subprocess", "socket", "exec", "ctypes"} or event in {
        "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.mkdir", "os.chmod",
    }:
        seen.append(event)
sys.addaudithook(hook)
setup = read(Path(root), shown="/", read_domains=no_domains)
assert setup.host.command_line is not None
print(seen)
"""


def test_nothing_is_run_and_nothing_else_is_opened(tmp_path: Path) -> None:
    """Seen by Python's own audit events, with files that would leave a trace if anybody ran them."""
    for path, content in MANJARO.items():
        file = tmp_path / "root" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    trace = tmp_path / "trace"
    for path in ("etc/default/grub", "etc/mkinitcpio.conf", "usr/local/bin/rebuild"):
        with (tmp_path / "root" / path).open("a") as file:
            file.write(f"X=$(touch {trace})\n`touch {trace}`\ntouch {trace}\n")
    (tmp_path / "root/etc/modprobe.d/out.conf").symlink_to("/etc/passwd")
    done = subprocess.run(
        [sys.executable, "-c", WATCH, tmp_path / "root"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
    assert not trace.exists()
