from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.errors import LabFault
from pipeline.lab import host
from pipeline.lab.accel import Accelerator
from pipeline.lab.apply import LAB_PARAMETERS, Applied
from pipeline.lab.board import lay_out
from pipeline.lab.grub import Entry
from pipeline.lab.host import HostDoesNotBoot, Prepared
from pipeline.lab.image import HostImage
from pipeline.lab.overlay import Put
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.sandbox import StepDone
from pipeline.lab.shape import READY
from pipeline.lab.shell import KeyPair
from pipeline.plan import Plan, resolve
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
        "name": "test",
        "kernel": root / "vmlinuz",
        "base": root / "base.cpio",
        "release": "6.12.1-test",
        "distribution": "Debian 13",
        "packages": {},
    }
    fields = HostImage.__dataclass_fields__
    return HostImage(**{name: values.get(name, root / name) for name in fields})


ENTRY = Entry(
    title="Manjaro Linux",
    identifier="simple",
    kernel="/boot/vmlinuz-6.12-x86_64",
    parameters=f"root=UUID=1 ro quiet {LAB_PARAMETERS}",
    initrds=("/boot/initramfs-6.12-x86_64.img",),
)


def prepared() -> Prepared:
    return Prepared(
        disk=Path("/run/l1.ext4"),
        boot=("-kernel", "k"),
        entry=ENTRY,
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
    assert options["-cpu"] == ["EPYC,-svm,-aes,-pclmulqdq,-sha-ni"]
    assert options["-kernel"] == ["k"]


@pytest.mark.parametrize(
    ("accelerator", "cpu", "irqchip"),
    [(TCG, "Skylake-Client,-aes,-pclmulqdq,-sha-ni", "off"), (KVM, "host", "split")],
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


class Disks:
    """`prepare` with disks of a few bytes, on what a test applied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, image: HostImage) -> None:
        self.image, self.run = image, RunDirectory(tmp_path / "run")
        self.put: dict[str, Put] = {}
        self.removed: tuple[str, ...] = ()
        self.run.path.mkdir()
        self.firmware = (tmp_path / "CODE.fd", tmp_path / "VARS.fd")
        self.firmware[1].write_bytes(b"variables")
        image.grub.write_bytes(b"grub")
        image.root.write_bytes(b"")
        monkeypatch.setattr(host, "_media", lambda *_: {"/media": Put(data=b"medium")})
        monkeypatch.setattr(host, "put", self._put)

    def _put(self, _: Path, files, *, scratch: Path, removed: tuple[str, ...]) -> None:
        self.put, self.removed = files, removed

    def prepare(
        self,
        files: dict[str, str],
        *,
        fast: bool,
        loader: str = "grub",
        root: str | None = None,
        entry: str = "",
    ) -> Prepared:
        applied = {}
        for number, (path, text) in enumerate(files.items()):
            source = self.run.path / f"file{number}"
            source.write_text(text)
            applied[path] = Put(source=source)
        done = StepDone(status=0, output="")
        return host.prepare(
            Applied(files=applied, removed=("/gone",), initramfs=done, loader=done, stand_ins=()),
            bootloader=loader,
            root=root,
            domain_xml=b"",
            image=self.image,
            qemu=None,
            shell_program=Path("shell"),
            firmware=self.firmware,
            fast=fast,
            entry=entry,
            run=self.run,
        )


GRUB_CFG = """menuentry 'Manjaro Linux' --class x $menuentry_id_option 'simple' {
\tlinux\t/boot/vmlinuz root=UUID=1 ro quiet
\tinitrd\t/boot/initramfs.img
}
"""


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, image: HostImage) -> Disks:
    return Disks(monkeypatch, tmp_path, image)


def test_the_fast_boot_takes_kernel_initramfs_and_parameters_of_the_first_entry(disks: Disks) -> None:
    files = {"/boot/grub/grub.cfg": GRUB_CFG, "/boot/vmlinuz": "kernel", "/boot/initramfs.img": "initramfs"}
    found = by_option([*disks.prepare(files, fast=True).boot])
    assert Path(found["-kernel"][0]).read_text() == "kernel"
    assert Path(found["-initrd"][0]).read_text() == "initramfs"
    assert found["-append"] == [f"root=UUID=1 ro quiet {LAB_PARAMETERS}"]


def test_the_owner_s_boot_starts_the_firmware_with_grub_on_a_disk_of_its_own(disks: Disks) -> None:
    found = by_option([*disks.prepare({"/boot/grub/grub.cfg": GRUB_CFG}, fast=False).boot])
    assert found["-machine"] == ["pflash0=code,pflash1=vars"]
    assert "-kernel" not in found
    assert (disks.run.path / "l1-vars.fd").read_bytes() == b"variables"
    done = subprocess.run(
        ["mtype", "-i", str(disks.run.path / "esp.fat"), "::EFI/BOOT/BOOTX64.EFI"],
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"grub"


def test_the_disk_gets_what_was_applied_the_keys_and_the_guest_s_media(disks: Disks) -> None:
    found = disks.prepare({"/boot/grub/grub.cfg": GRUB_CFG}, fast=False)
    assert {"/boot/grub/grub.cfg", "/media", "/root/.ssh/authorized_keys"} <= set(disks.put)
    assert disks.put["/etc/ssh/ssh_host_ed25519_key"].mode == 0o600
    assert disks.removed == ("/gone",)
    assert found.identity.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "menuentry 'UEFI Firmware Settings' {\n\tfwsetup\n}\n"])
def test_without_an_entry_nothing_boots(disks: Disks, text: str) -> None:
    with pytest.raises(HostDoesNotBoot, match="no entry"):
        disks.prepare({"/boot/grub/grub.cfg": text}, fast=False)


def test_a_fast_boot_of_a_file_that_is_not_there_says_which(disks: Disks) -> None:
    with pytest.raises(HostDoesNotBoot, match=r"/boot/initramfs\.img"):
        disks.prepare({"/boot/grub/grub.cfg": GRUB_CFG, "/boot/vmlinuz": "kernel"}, fast=True)


class Console:
    """A machine whose serial line says `texts`, one more at each look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
        self.texts = list(texts)
        self.now = 0.0
        monkeypatch.setattr(host, "_console", self.say)
        monkeypatch.setattr(host.time, "sleep", self.sleep)
        monkeypatch.setattr(host.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(host, "_connect", lambda *_: "shell")

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def say(self, _: object) -> str:
        return self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]

    def log_in(self, seconds: float = 240) -> object:
        alive = SimpleNamespace(poll=lambda: None, check=lambda: None)
        return host._log_in(alive, alive, prepared(), 22, seconds, lambda _: None)


def test_a_host_that_says_it_is_ready_is_logged_into(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Console(monkeypatch, "", "Loading Linux", f"Loading Linux\n{READY}").log_in() == "shell"


def test_a_host_that_gives_up_is_told_with_the_end_of_its_console(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "first\nDRYBOOT: no root device x\nlast"
    with pytest.raises(HostDoesNotBoot, match=r"(?s)^the initramfs gave up: no root device x\n.*first.*last"):
        Console(monkeypatch, "", said).log_in()


def test_a_panic_over_the_emulated_machine_is_a_lab_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "[    0.05] Kernel panic - not syncing: timer doesn't work through Interrupt-remapped IO-APIC\n"
    with pytest.raises(LabFault, match="timer doesn't work"):
        Console(monkeypatch, "", said).log_in()
    with pytest.raises(HostDoesNotBoot, match="Unable to mount root fs"):
        Console(monkeypatch, "", "Kernel panic - not syncing: VFS: Unable to mount root fs\n").log_in()


def test_a_panic_after_a_driver_s_crash_is_a_lab_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    panic = "[ 6.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n"
    crash = "[ 5.2] kernel BUG at drivers/gpu/drm/amd/amdgpu/amdgpu_device.c:1201!\n"
    with pytest.raises(LabFault, match=r"emulated function: kernel BUG at .*amdgpu_device\.c:1201"):
        Console(monkeypatch, "", crash, crash + panic).log_in()
    with pytest.raises(HostDoesNotBoot, match="Attempted to kill init"):
        Console(monkeypatch, "", panic).log_in()
    # The host may go on without that driver.
    assert Console(monkeypatch, "", crash, crash + READY).log_in() == "shell"


def test_grub_goes_on_after_an_error_or_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    error = "error: file `/boot/initramfs.img' not found.\n"
    assert Console(monkeypatch, error, error + "Loading", error + READY).log_in() == "shell"
    with pytest.raises(HostDoesNotBoot, match=r"GRUB stopped: file `/boot/initramfs.img' not found"):
        Console(monkeypatch, error).log_in()


def test_a_host_that_says_nothing_of_the_kind_in_time_is_a_lab_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabFault, match=r"(?s)not up in time.*Loading Linux"):
        Console(monkeypatch, "Loading Linux").log_in(seconds=5)


WAY_BACK = """menuentry 'Without passthrough' $menuentry_id_option 'without-passthrough' {
\tlinux\t/boot/vmlinuz root=UUID=1 module_blacklist=vfio_pci
}
"""


def test_the_entry_that_is_asked_for_is_booted_once(disks: Disks) -> None:
    files = {"/boot/grub/grub.cfg": GRUB_CFG + WAY_BACK, "/boot/vmlinuz": "kernel"}
    found = disks.prepare(files, fast=True, entry="without-passthrough")
    assert found.entry.title == "Without passthrough"
    assert "module_blacklist=vfio_pci" in by_option([*found.boot])["-append"][0]
    assert disks.put["/boot/grub/grubenv"].source is not None


def test_an_entry_that_is_not_there_does_not_boot(disks: Disks) -> None:
    with pytest.raises(HostDoesNotBoot, match="grub has no entry without-passthrough"):
        disks.prepare({"/boot/grub/grub.cfg": GRUB_CFG}, fast=False, entry="without-passthrough")


def test_the_root_file_system_is_what_the_entry_calls_it(
    disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str] = []
    monkeypatch.setattr(host, "identify", lambda _, root, *, scratch: named.append(root))
    disks.prepare({"/boot/grub/grub.cfg": GRUB_CFG}, fast=False, root="UUID=1-2")
    disks.prepare({"/boot/grub/grub.cfg": GRUB_CFG}, fast=False)
    assert named == ["UUID=1-2"]
