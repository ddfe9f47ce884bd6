from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from pipeline.errors import LabFault
from pipeline.lab import host
from pipeline.lab.accel import Accelerator
from pipeline.lab.board import lay_out
from pipeline.lab.host import Prepared
from pipeline.lab.image import HostImage
from pipeline.lab.initcpio.build import Built
from pipeline.lab.initcpio.config import read_preset
from pipeline.lab.overlay import Put
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.shell import KeyPair
from pipeline.plan import Plan, resolve
from pipeline.render import Inputs, render
from pipeline.scenario import read

TCG = Accelerator(l1="tcg", l2="tcg", reason="")
KVM = Accelerator(l1="kvm", l2="kvm", reason="")
KEY = KeyPair(private=b"private", public=b"ssh-ed25519 public")


def plan(name: str = "rx560", *settings: str) -> Plan:
    return resolve(read(name, settings=settings))


@pytest.fixture
def image(tmp_path: Path) -> HostImage:
    root = tmp_path / "image"
    modules = root / "usr/lib/modules/6.12.1-test"
    modules.mkdir(parents=True)
    names = {"vfio": "vfio", "vfio_pci": "vfio-pci", "vfio_iommu_type1": "vfio_iommu_type1"}
    (modules / "modules.dep").write_text("".join(f"kernel/{name}.ko:\n" for name in names.values()))
    (modules / "kernel").mkdir()
    for name in names.values():
        (modules / f"kernel/{name}.ko").write_bytes(b"")
    values = {
        "root": root / "root.ext4",
        "tree": root,
        "kernel": root / "vmlinuz",
        "base": root / "base.cpio",
        "release": "6.12.1-test",
        "label": "dryboot",
        "distribution": "Debian 13",
        "packages": {},
    }
    fields = HostImage.__dataclass_fields__
    return HostImage(**{name: values.get(name, root / name) for name in fields})


def prepared(command_line: str = "quiet iommu=pt") -> Prepared:
    return Prepared(
        disk=Path("/run/l1.ext4"),
        initramfs=Path("/run/initramfs.img"),
        command_line=command_line,
        initramfs_built=Built(status=0, messages=(), stand_ins=()),
        identity=Path("/run/identity"),
        known_hosts=Path("/run/known_hosts"),
        host_key=KEY,
    )


def by_option(found: list[str]) -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for index, option in enumerate(found):
        if option.startswith("-"):
            value = found[index + 1 : index + 2]
            options.setdefault(option, []).append(value[0] if value and not value[0].startswith("-") else "")
    return options


@pytest.fixture
def booted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, image: HostImage):
    """The options that QEMU is started with; it is not started."""

    class Started(Exception):
        pass

    def arrange(accelerator: Accelerator, *settings: str) -> dict[str, list[str]]:
        found: list[str] = []

        def machine(_: object, arguments: list[str], **__: object) -> None:
            found.extend(arguments)
            raise Started

        monkeypatch.setattr(host, "machine", machine)
        monkeypatch.setattr(host, "device_server", lambda *_, **__: contextlib.nullcontext())
        decided = plan("rx560", *settings)
        with (
            pytest.raises(Started),
            host.boot(
                prepared(),
                board=lay_out(decided),
                image=image,
                qemu=None,
                accelerator=accelerator,
                cpu_vendor=decided.host.cpu_vendor,
                run=RunDirectory(tmp_path),
                progress=lambda _: None,
            ),
        ):
            pass
        return by_option(found)

    return arrange


def test_an_amd_host_under_tcg(booted) -> None:
    options = booted(TCG)
    assert options["-machine"] == ["q35,memory-backend=memory,sata=off,smbus=off,i8042=off"]
    assert options["-accel"] == ["tcg,thread=multi"]
    assert options["-cpu"] == ["EPYC,-svm"]
    assert options["-initrd"] == ["initramfs.img"]
    assert options["-append"][0].startswith("quiet iommu=pt root=LABEL=dryboot ")


@pytest.mark.parametrize(
    ("accelerator", "cpu", "irqchip"), [(TCG, "Skylake-Client", "off"), (KVM, "host", "split")]
)
def test_an_intel_host_has_the_interrupt_chip_that_its_iommu_needs(
    booted, accelerator: Accelerator, cpu: str, irqchip: str
) -> None:
    options = booted(accelerator, "host.cpu.vendor=intel")
    assert options["-machine"] == [
        f"q35,memory-backend=memory,sata=off,smbus=off,i8042=off,kernel_irqchip={irqchip}"
    ]
    assert options["-cpu"] == [cpu]


def test_the_memory_can_be_shared_with_the_servers_of_the_functions(booted) -> None:
    (memory,) = booted(TCG)["-object"]
    assert memory.startswith("memory-backend-memfd,id=memory,size=")
    assert memory.endswith(",share=on")


def test_the_only_network_is_a_forward_from_this_machine(booted) -> None:
    options = booted(TCG)
    assert options["-netdev"] == ["user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"]
    assert "-nodefaults" in options


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('GRUB_CMDLINE_LINUX_DEFAULT="quiet iommu=pt"\nGRUB_CMDLINE_LINUX=""\n', "quiet iommu=pt"),
        ('GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX="iommu=pt"\n', "iommu=pt quiet"),
        ("GRUB_CMDLINE_LINUX_DEFAULT='a=\"b c\" $d'\n", 'a="b c" $d'),
        ("", ""),
    ],
)
def test_the_command_line_is_what_a_shell_reads(tmp_path: Path, text: str, line: str) -> None:
    grub = tmp_path / "grub"
    grub.write_text(text)
    assert host._command_line(grub) == line


def test_a_grub_file_that_no_shell_reads_is_a_lab_fault(tmp_path: Path) -> None:
    grub = tmp_path / "grub"
    grub.write_text('GRUB_CMDLINE_LINUX_DEFAULT="quiet\n')
    with pytest.raises(LabFault, match="cannot be read by a shell"):
        host._command_line(grub)


def shape(name: str, image: HostImage) -> dict[str, Put]:
    return host.shape(plan(name), image, visitor=KEY, host_key=KEY)


def test_the_host_has_the_names_and_paths_of_its_distribution(image: HostImage) -> None:
    found = shape("rx560", image)
    assert b"NAME='Manjaro Linux'\n" in found["/usr/lib/os-release"].data
    assert found["/boot/vmlinuz-6.12-x86_64"].link == "vmlinuz-6.12.1-test"
    assert found["/usr/share/edk2/x64/OVMF_CODE.4m.fd"].link == "/usr/share/OVMF/OVMF_CODE_4M.fd"
    assert found["/root/.ssh/authorized_keys"] == Put(data=KEY.public, mode=0o600)
    assert found["/etc/ssh/ssh_host_ed25519_key"].mode == 0o600
    assert b"ip link add br0 type bridge" in found["/etc/systemd/system/dryboot-network.service"].data


def test_a_guest_without_network_needs_no_bridge(image: HostImage) -> None:
    found = host.shape(plan("rx560", "guest.network=null"), image, visitor=KEY, host_key=KEY)
    assert (
        b"bridge" not in found["/etc/systemd/system/dryboot-network.service"].data.partition(b"[Service]")[2]
    )


@pytest.mark.parametrize(
    ("name", "preset", "images", "config"),
    [
        ("rx560", "/etc/mkinitcpio.d/linux612.preset", ["default"], ""),
        ("rx560-2019", "/etc/mkinitcpio.d/linux419.preset", ["default", "fallback"], "/etc/mkinitcpio.conf"),
    ],
)
def test_presets_are_those_of_their_year(
    tmp_path: Path, image: HostImage, name: str, preset: str, images: list[str], config: str
) -> None:
    path = tmp_path / "preset"
    path.write_bytes(shape(name, image)[preset].data)
    found = read_preset(path)
    assert [one.name for one in found] == images
    assert {one.config for one in found} == {config}


def mkinitcpio(tmp_path: Path, image: HostImage, name: str, conf: str | None = None) -> Built:
    decided = plan(name)
    root = tmp_path / "host"
    bundle = render(decided, inputs=Inputs(scenario=b""))
    files = {path: data for path, data in bundle.files.items() if path.startswith("etc/")}
    files[decided.host.distribution.preset.lstrip("/")] = shape(name, image)[
        decided.host.distribution.preset
    ].data
    if conf is not None:
        files["etc/mkinitcpio.conf"] = conf.encode()
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return host._mkinitcpio(decided, root, lay_out(decided), image, tmp_path / "configured.cpio")


def test_the_rendered_configuration_is_applied(tmp_path: Path, image: HostImage) -> None:
    built = mkinitcpio(tmp_path, image, "rx560")
    assert (built.status, built.messages) == (0, ())
    data = (tmp_path / "configured.cpio").read_bytes()
    assert b"early_modules='vfio_pci vfio vfio_iommu_type1'" in data
    assert b"options vfio-pci ids=1002:67ef,1002:aae0" in data


def test_a_configuration_for_another_kernel_reports_the_missing_module(
    tmp_path: Path, image: HostImage
) -> None:
    built = mkinitcpio(tmp_path, image, "rx560-2019")
    assert built.status == 1
    assert "==> ERROR: module not found: 'vfio_virqfd'" in built.messages


def test_a_configuration_that_bash_cannot_read_is_an_error_with_an_image_that_adds_nothing(
    tmp_path: Path, image: HostImage
) -> None:
    built = mkinitcpio(tmp_path, image, "rx560", conf="MODULES=()\nfi\n")
    assert built.status == 1
    assert "syntax error" in built.messages[0]
    assert (tmp_path / "configured.cpio").read_bytes() == b""
