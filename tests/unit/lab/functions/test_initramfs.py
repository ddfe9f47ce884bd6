from __future__ import annotations

import ast
import lzma
from pathlib import Path

import pytest

from pipeline.errors import LabFault
from pipeline.lab.device import registers
from pipeline.lab.functions import initramfs, program
from pipeline.lab.functions.tested import Tested
from pipeline.lab.initcpio import archive

CARD = Tested(vendor=0x1002, device=0x67EF, function=0, bar=5, offset=0x3F000)
LIBRARIES = "usr/lib/x86_64-linux-gnu"
FILES = (
    "usr/bin/busybox",
    "usr/bin/python3.13",
    *(
        f"{LIBRARIES}/{name}"
        for name in ("ld-linux-x86-64.so.2", "libc.so.6", "libexpat.so.1", "libm.so.6", "libz.so.1")
    ),
    "usr/lib/python3.13/lib-dynload/mmap.cpython-313-x86_64-linux-gnu.so",
    "usr/lib/python3.13/os.py",
    *(f"usr/lib/python3.13/encodings/{name}.py" for name in ("__init__", "aliases", "ascii", "utf_8")),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    # The loader runs Python, whose byte code is here the source backwards.
    loader = tmp_path / "root" / LIBRARIES / "ld-linux-x86-64.so.2"
    loader.write_text("#!/bin/sh\nrev\n")
    loader.chmod(0o755)
    for name in initramfs.MODULES:
        path = tmp_path / f"root/usr/lib/modules/6.12/kernel/drivers/uio/{name}.ko.xz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lzma.compress(name.encode()))
    return tmp_path / "root"


def test_the_program_ends_with_the_call_that_starts_it() -> None:
    tree = ast.parse(initramfs.text([CARD], 5.0))
    last = tree.body[-1]
    assert isinstance(last, ast.Expr)
    assert isinstance(last.value, ast.Call)
    functions, numbers, patience = (ast.literal_eval(argument) for argument in last.value.args)
    assert functions == [CARD.as_numbers()]
    assert patience == 5.0
    assert numbers["DMA_COMMAND"] == registers.DMA_COMMAND


def test_every_register_that_the_program_uses_is_handed_over() -> None:
    tree = ast.parse(Path(program.__file__).read_text())
    used = {
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "_r"
        and isinstance(node.slice, ast.Constant)
    }
    assert used
    assert used <= {name for name in vars(registers) if name.isupper()}


def test_the_program_imports_only_what_the_archive_has() -> None:
    tree = ast.parse(Path(program.__file__).read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"mmap", "os", "select", "sys", "time"}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))


def test_the_archive_has_everything_and_is_the_same_each_time(root: Path, tmp_path: Path) -> None:
    targets = [tmp_path / "a", tmp_path / "b"]
    for target in targets:
        initramfs.write(root, [CARD], target, patience=5.0)
    assert targets[0].read_bytes() == targets[1].read_bytes()
    with targets[0].open("rb") as stream:
        members = archive.contents(stream)
    assert {"init", "program.pyc", "dev/console", "proc", "sys", "uio.ko", "uio_pci_generic.ko"} <= set(
        members
    )
    assert {"bin/busybox", "lib64/ld-linux-x86-64.so.2", "lib/libc.so.6"} <= set(members)
    assert "usr/lib/python3.13/encodings/utf_8.pyc" in members
    assert b"yp.8_ftu/sgnidocne" in targets[0].read_bytes()
    assert b"insmod /uio.ko\n/bin/busybox insmod /uio_pci_generic.ko" in targets[0].read_bytes()


def test_a_python_that_does_not_compile_is_the_lab_s_fault(root: Path, tmp_path: Path) -> None:
    (root / LIBRARIES / "ld-linux-x86-64.so.2").write_text("#!/bin/sh\necho no such thing >&2\nexit 1\n")
    with pytest.raises(LabFault, match="cannot be compiled: no such thing"):
        initramfs.write(root, [CARD], tmp_path / "a", patience=5.0)
