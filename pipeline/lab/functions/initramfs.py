"""The initramfs of the Linux in L2: busybox to mount and load modules, Python, and the program."""

from __future__ import annotations

import lzma
import os
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import LabFault
from pipeline.lab.device import registers
from pipeline.lab.functions import program
from pipeline.lab.functions.tested import Tested
from pipeline.lab.initcpio import archive

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_STANDARD = "usr/lib/python3.13"
_NEEDED = ("libc.so.6", "libexpat.so.1", "libm.so.6", "libz.so.1")
_LOADER = "ld-linux-x86-64.so.2"
MODULES = ("uio", "uio_pci_generic")
# `-I` and `-S`: nothing but what is here; `-B`: there is nowhere to keep anything.
_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
{modules}
exec /usr/bin/python3.13 -ISB /program.pyc
"""
# A file of byte code that names no source's time (importlib, "unchecked hash-based .pyc"): the same bytes each time.
_COMPILE = """
import importlib.util, marshal, sys
code = compile(sys.stdin.buffer.read(), sys.argv[1], "exec")
head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8)
sys.stdout.buffer.write(head + marshal.dumps(code))
"""


def text(functions: Sequence[Tested], patience: float) -> str:
    """The program with the call that starts it. `patience` in seconds: how long anything may take."""
    source = Path(program.__file__).read_text(encoding="utf-8")
    numbers = [one.as_numbers() for one in functions]
    return f"{source}\n\nmain({numbers!r}, {_registers()!r}, {patience!r})\n"


def _registers() -> Mapping[str, int]:
    return {name: value for name, value in vars(registers).items() if name.isupper() and type(value) is int}


def write(root: Path, functions: Sequence[Tested], target: Path, *, patience: float) -> None:
    """Write the archive from the unpacked packages in `root`: the same bytes for the same input. Raises LabFault.

    All of Python is byte code: compiling takes an emulated processor longer than running what was compiled.
    """

    def taken(source: str, path: str = "", *, executable: bool = True) -> archive.Entry:
        return archive.file(path or source, (root / source).read_bytes(), executable=executable)

    modules = [_module(root, name) for name in MODULES]
    loads = "\n".join(f"/bin/busybox insmod /{entry.path}" for entry in modules)
    entries = [
        archive.directory("proc"),
        archive.directory("sys"),
        # The kernel opens /dev/console before /init runs.
        archive.Entry(path="dev/console", mode=stat.S_IFCHR | 0o600, device=(5, 1)),
        taken("usr/bin/busybox", "bin/busybox"),
        taken("usr/bin/python3.13"),
        taken(f"{_LIBRARIES}/{_LOADER}", f"lib64/{_LOADER}"),
        *(taken(f"{_LIBRARIES}/{name}", f"lib/{name}") for name in _NEEDED),
        taken(f"{_STANDARD}/lib-dynload/mmap.cpython-313-x86_64-linux-gnu.so"),
        # Python finds its library by this file, though it has the module itself.
        taken(f"{_STANDARD}/os.py", executable=False),
        *(
            archive.file(f"{path}c", _compiled(root, path, (root / path).read_bytes()))
            for path in (
                f"{_STANDARD}/encodings/{name}.py" for name in ("__init__", "aliases", "ascii", "utf_8")
            )
        ),
        *modules,
        archive.file("program.pyc", _compiled(root, "program.py", text(functions, patience).encode())),
        archive.file("init", _INIT.format(modules=loads).encode(), executable=True),
    ]
    with target.open("wb") as stream:
        archive.write(entries, stream)


def _module(root: Path, name: str) -> archive.Entry:
    packed = next(iter(sorted((root / "usr/lib/modules").rglob(f"{name}.ko.xz"))))
    return archive.file(f"{name}.ko", lzma.decompress(packed.read_bytes()))


def _compiled(root: Path, name: str, source: bytes) -> bytes:
    """Byte code by the Python in `root`, which is started through its own loader."""
    libraries = root / _LIBRARIES
    argv = [str(libraries / _LOADER), "--library-path", str(libraries), str(root / "usr/bin/python3.13")]
    try:
        done = subprocess.run(
            [*argv, "-SB", "-c", _COMPILE, name],
            env={**os.environ, "PYTHONHOME": str(root / "usr")},
            input=source,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"the guest's Python does not run here: {error}") from error
    if done.returncode:
        raise LabFault(f"{name} cannot be compiled: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
