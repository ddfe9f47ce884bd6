"""The disk of a QEMU release for L1, with the tool that makes it played."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import BadInput, LabFault
from pipeline.lab import emulator as emulators
from pipeline.lab.emulator import emulator
from pipeline.lab.firmware import Firmware, Pair
from pipeline.lab.releases import Release
from pipeline.lab.toolchain import Qemu, in_tree


def release(tree: Path | None, firmware: Path) -> Release:
    pair = Pair(code=firmware / "usr/share/OVMF/CODE.fd", variables=firmware / "usr/share/OVMF/VARS.fd")
    return Release(
        name="mine",
        qemu=Qemu(argv=("qemu",), version="11.1", origin="mine", tree=tree),
        firmware=Firmware(plain=pair),
        digest="d" * 64,
        folder=firmware,
    )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What was run; the third run fails."""
    ran: list[list[str]] = []

    def run(argv: list[str], *, binds: dict[Path, str], **_: Any) -> tuple[int, str]:
        ran.append(argv)
        out = next(path for path, inside in binds.items() if inside == "/out")
        (out / "tree.ext4").write_bytes(b"ext4")
        return (0, "") if len(ran) < 3 else (1, "no space")

    monkeypatch.setenv("DRYBOOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(emulators.tools, "run", run)
    return ran


def tree(tmp_path: Path, size: int = 3 << 20) -> Path:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/qemu-system-x86_64").write_bytes(bytes(size))
    return root


def test_the_disk_is_made_once_and_has_room(made: list[list[str]], tmp_path: Path) -> None:
    root = tree(tmp_path)
    found = emulator(release(root, root), lambda _: None)
    assert emulator(release(root, root), lambda _: None) == found
    assert found.disk.read_bytes() == b"ext4"
    assert (found.code, found.variables) == (
        "/opt/qemu/usr/share/OVMF/CODE.fd",
        "/opt/qemu/usr/share/OVMF/VARS.fd",
    )
    [argv] = made
    assert int(argv[-1].removesuffix("M")) >= 3 + 64
    assert f"driver=file,filename={found.disk},node-name=emulator,read-only=on" in found.arguments


@pytest.mark.parametrize("case", ["no tree", "firmware elsewhere"])
def test_a_release_without_a_tree_of_its_own_cannot_run_in_the_host(
    made: list[list[str]], tmp_path: Path, case: str
) -> None:
    root = tree(tmp_path)
    wrong = release(None, root) if case == "no tree" else release(root, tmp_path / "lab")
    with pytest.raises(BadInput, match=r"QEMU mine .* cannot run in the lab's host") as caught:
        emulator(wrong, lambda _: None)
    assert "--lane fast" in caught.value.hint
    assert not made


def test_a_disk_that_cannot_be_made_is_the_lab_s_fault(made: list[list[str]], tmp_path: Path) -> None:
    root = tree(tmp_path)
    made += [[], []]
    with pytest.raises(LabFault, match=r"the disk of QEMU mine could not be made.*no space"):
        emulator(release(root, root), lambda _: None)
    assert not list((tmp_path / "cache/emulators").glob("[!.]*"))


@pytest.mark.parametrize("libraries", ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"])
def test_the_script_in_the_host_starts_it_through_its_own_loader(
    made: list[list[str]], tmp_path: Path, libraries: str
) -> None:
    """Where the loader is differs: Debian 12 has it in /lib."""
    root = tree(tmp_path)
    (root / libraries / "qemu").mkdir(parents=True)
    (root / libraries / "ld-linux-x86-64.so.2").touch()
    own = replace(release(root, root), qemu=in_tree(root, "11.1"))
    seen: dict[str, Any] = {}
    done = SimpleNamespace(status=0, out="QEMU emulator version 11.1.3 (Debian)", err="")
    shell: Any = SimpleNamespace(
        write=lambda path, data: seen.update({path: data.decode()}),
        run=lambda command: seen.update(command=command) or done,
    )
    emulator(own, lambda _: None).mount(shell)
    script = seen["/opt/qemu-system-x86_64"]
    assert script.startswith("#!/bin/sh\n")
    assert f"export QEMU_MODULE_DIR=/opt/qemu/{libraries}/qemu\n" in script
    assert f"exec /opt/qemu/{libraries}/ld-linux-x86-64.so.2" in script
    assert " /opt/qemu/usr/bin/qemu-system-x86_64" in script
    assert script.rstrip().endswith('"$@"')
    assert str(root) not in script
