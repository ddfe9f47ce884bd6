from __future__ import annotations

import json
from pathlib import Path

from pipeline.lab import firmware

SECURE = ["acpi-s3", "requires-smm", "secure-boot", "enrolled-keys"]


def descriptor(root: Path, name: str, *, code: str, variables: str, **changed: object) -> None:
    value = {
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            "executable": {"filename": code, "format": "raw"},
            "nvram-template": {"filename": variables, "format": "raw"},
        },
        "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
        "features": ["acpi-s3"],
        **changed,
    }
    path = root / "usr/share/qemu/firmware" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def images(root: Path, *names: str) -> None:
    for name in names:
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_descriptors_say_which_is_plain_and_which_has_keys(tmp_path: Path) -> None:
    images(tmp_path, "/f/plain.fd", "/f/vars.fd", "/f/ms.fd", "/f/ms-vars.fd", "/f/smm.fd")
    descriptor(tmp_path, "40.json", code="/f/ms.fd", variables="/f/ms-vars.fd", features=SECURE)
    descriptor(
        tmp_path,
        "50.json",
        code="/f/smm.fd",
        variables="/f/vars.fd",
        features=["requires-smm", "secure-boot"],
    )
    descriptor(tmp_path, "60.json", code="/f/plain.fd", variables="/f/vars.fd")
    found = firmware.find(tmp_path)
    assert found is not None
    assert found.plain == firmware.Pair(code=tmp_path / "f/plain.fd", variables=tmp_path / "f/vars.fd")
    assert found.secure == firmware.Pair(code=tmp_path / "f/ms.fd", variables=tmp_path / "f/ms-vars.fd")


def test_descriptors_of_others_and_of_what_is_not_there_are_passed_over(tmp_path: Path) -> None:
    images(
        tmp_path, "/f/a.fd", "/f/b.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"
    )
    arm = [{"architecture": "aarch64", "machines": ["virt-*"]}]
    descriptor(tmp_path, "10.json", code="/f/a.fd", variables="/f/b.fd", targets=arm)
    descriptor(tmp_path, "11.json", code="/f/a.fd", variables="/f/gone.fd")
    descriptor(tmp_path, "12.json", code="/f/a.fd", variables="/f/b.fd", mapping={"device": "memory"})
    (tmp_path / "usr/share/qemu/firmware/13.json").write_text("{")
    found = firmware.find(tmp_path)
    assert found is not None
    assert found.plain.code == tmp_path / "usr/share/OVMF/OVMF_CODE_4M.fd"
    assert found.secure is None


def test_what_qemu_itself_installs_is_found_below_its_prefix(tmp_path: Path) -> None:
    images(tmp_path, "/share/qemu/edk2-x86_64-code.fd", "/share/qemu/edk2-i386-vars.fd")
    found = firmware.find(tmp_path)
    assert found is not None
    assert found.plain.variables.name == "edk2-i386-vars.fd"


def test_a_tree_without_firmware_has_none(tmp_path: Path) -> None:
    images(tmp_path, "/usr/share/OVMF/OVMF_CODE_4M.fd")
    assert firmware.find(tmp_path) is None


def test_the_digest_is_of_code_and_variables(tmp_path: Path) -> None:
    code, variables = "/share/qemu/edk2-x86_64-code.fd", "/share/qemu/edk2-i386-vars.fd"
    seen = set()
    for text in ("one", "two"):
        for name in (code, variables):
            images(tmp_path, code, variables)
            (tmp_path / name.lstrip("/")).write_text(text)
            found = firmware.find(tmp_path)
            assert found is not None
            seen.add(found.digest)
    assert len(seen) == 4
