"""What a boot says about an accelerator; QEMU is played by scripts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import LabFault
from pipeline.lab import kernel_proof
from pipeline.lab.image import HostImage
from pipeline.lab.kernel_proof import RAN, boot_tiny, kvm_problem, remembered_kvm_problem
from pipeline.lab.toolchain import Qemu

Stub = Callable[[str], Qemu]


@pytest.fixture
def image(tmp_path: Path) -> HostImage:
    return HostImage(
        name="image",
        root=tmp_path / "root",
        grub=tmp_path / "grub",
        kernel=tmp_path / "vmlinuz",
        release="6.12",
        tree=tmp_path,
        base=tmp_path / "base",
        tiny=tmp_path / "tiny",
        distribution="debian",
        packages={},
    )


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    def write(script: str) -> Qemu:
        path = tmp_path / "qemu-system-x86_64"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return Qemu(argv=(str(path),), version="11.1", origin="a stub")

    return write


def boot(qemu: Qemu, image: HostImage, seconds: float = 120) -> str:
    return boot_tiny(qemu, image, ["-accel", "kvm", "-cpu", "host"], seconds=seconds)


def test_a_kernel_that_ran_to_its_end_is_no_problem(stub: Stub, image: HostImage) -> None:
    assert boot(stub(f"echo booting; printf '\\377\\n{RAN}\\n'"), image) == ""


def test_the_kernel_and_the_initramfs_of_the_image_are_booted(
    stub: Stub, image: HostImage, tmp_path: Path
) -> None:
    boot(stub(f'printf "%s\\n" "$@" > {tmp_path}/said'), image)
    said = (tmp_path / "said").read_text().splitlines()
    for option, value in (
        ("-accel", "kvm"),
        ("-cpu", "host"),
        ("-kernel", str(image.kernel)),
        ("-initrd", str(image.tiny)),
    ):
        assert said[said.index(option) + 1] == value


def test_an_internal_error_of_kvm_is_told_at_once_and_the_hanging_qemu_ended(
    stub: Stub, image: HostImage, tmp_path: Path
) -> None:
    qemu = stub(f"echo $$ > {tmp_path}/pid; echo 'KVM internal error. Suberror: 1'; exec sleep 600")
    started = time.monotonic()
    assert boot(qemu, image, seconds=500) == "KVM internal error"
    assert time.monotonic() - started < 120
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_an_end_without_the_marker_is_a_problem(stub: Stub, image: HostImage) -> None:
    assert boot(stub("echo booting"), image) == "QEMU ended with 0"


def test_the_marker_does_not_excuse_an_exit_status(stub: Stub, image: HostImage) -> None:
    assert boot(stub(f"echo {RAN}; exit 1"), image) == "QEMU ended with 1"


def test_the_last_error_of_qemu_is_the_problem(stub: Stub, image: HostImage) -> None:
    qemu = stub(
        "echo 'qemu-system-x86_64: warning: host is odd'; "
        "echo 'qemu-system-x86_64: failed to initialize kvm: Permission denied'; "
        "echo 'qemu-system-x86_64: warning: again'; exit 1"
    )
    assert boot(qemu, image) == "failed to initialize kvm: Permission denied"


def test_a_kernel_that_hangs_runs_out_of_time(stub: Stub, image: HostImage) -> None:
    assert boot(stub("exec sleep 600"), image, seconds=0.2) == "it did not come to its end in 0 s"


def test_a_qemu_that_is_not_there_is_a_problem(image: HostImage) -> None:
    assert boot(Qemu(argv=("/no/such/qemu",), version="11.1", origin="nowhere"), image)


def test_no_setpriv_is_a_lab_fault(
    stub: Stub, image: HostImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabFault, match="cannot start QEMU"):
        boot(stub("exit 0"), image)


def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kernel_proof, "Path", lambda _: tmp_path / "kvm")
    return tmp_path / "kvm"


def test_no_device_is_a_problem_without_a_boot(
    stub: Stub, image: HostImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device(tmp_path, monkeypatch)
    assert kvm_problem(stub(f"touch {tmp_path}/booted"), image) == "there is no /dev/kvm"
    assert not (tmp_path / "booted").exists()


def test_a_device_that_cannot_be_opened_is_a_problem(
    stub: Stub, image: HostImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device(tmp_path, monkeypatch).mkdir()
    assert "cannot be opened: Is a directory" in kvm_problem(stub("exit 0"), image)


def test_a_device_alone_proves_nothing(
    stub: Stub, image: HostImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device(tmp_path, monkeypatch).touch()
    monkeypatch.setattr(kernel_proof, "_KVM_SECONDS", 120)
    assert "(KVM internal error)" in kvm_problem(stub("echo KVM internal error; exec sleep 600"), image)
    assert kvm_problem(stub(f"echo {RAN}"), image) == ""


def test_what_was_proven_is_remembered_until_qemu_or_the_machine_s_start_is_another(
    stub: Stub, image: HostImage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))
    answers = iter(["no", "still no"])
    monkeypatch.setattr(kernel_proof, "kvm_problem", lambda *_: next(answers))
    qemu = stub("exit 0")
    assert [remembered_kvm_problem(qemu, image) for _ in range(2)] == ["no", "no"]
    assert remembered_kvm_problem(replace(qemu, version="12.0"), image) == "still no"
    assert len(list((tmp_path / "cache/kvm").iterdir())) == 1


def test_what_took_too_long_is_not_remembered(
    stub: Stub, image: HostImage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))
    slow = boot(stub("exec sleep 60"), image, seconds=0.2)
    monkeypatch.setattr(kernel_proof, "kvm_problem", lambda *_: slow)
    assert remembered_kvm_problem(stub("exit 0"), image) == slow
    monkeypatch.setattr(kernel_proof, "kvm_problem", lambda *_: "")
    assert remembered_kvm_problem(stub("exit 0"), image) == ""
