"""Boots the function tests on this machine, one level deep: OVMF, the emulated functions, no host between."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace

from pipeline.errors import LabFault
from pipeline.lab import payload, toolchain
from pipeline.lab.device import registers
from pipeline.lab.device.function import Bar, BarKind, FunctionSpec
from pipeline.lab.functions import medium, tree
from pipeline.lab.functions.tested import Tested
from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.servers import device_server
from pipeline.lab.toolchain import Qemu
from pipeline.lab.vm import machine

BARS = (
    Bar(index=0, size=256 << 20, kind=BarKind.MEM64_PREFETCHABLE),
    Bar(index=4, size=256, kind=BarKind.IO),
    Bar(index=5, size=256 << 10, kind=BarKind.MEM32),
)
_PATIENCE = 20
_PLACE = registers.place({0: 256 << 20, 5: 256 << 10})
_CARD = FunctionSpec(
    name="fn0",
    vendor_id=0x1002,
    device_id=0x67E0,
    class_code=0x038000,
    subsystem_vendor_id=0x148C,
    subsystem_id=0x2385,
    revision=0xE5,
    bars=BARS,
    interrupt_pin=1,
    multifunction=False,
    msi_vectors=1,
)


def card(number: int, broken: str = "") -> FunctionSpec:
    """A function with an id of its own, broken in the way that is named."""
    return replace(
        _CARD, name=f"fn{number}", device_id=0x67E0 + number, broken=frozenset({broken} if broken else ())
    )


def as_tested(spec: FunctionSpec) -> Tested:
    """The same for the program."""
    assert _PLACE is not None
    return Tested(vendor=spec.vendor_id, device=spec.device_id, function=0, bar=_PLACE[0], offset=_PLACE[1])


def boot(specs: Sequence[FunctionSpec], run: RunDirectory, *, seconds: float = 100) -> tuple[str, str]:
    """Run it to its power-off and once more; what it said each time, nothing where QEMU did not start."""
    qemu = toolchain.find(print)
    code, variables = toolchain.firmware(print)
    shutil.copyfile(variables, run.path / "vars.fd")
    ports = [(16 + number, 0) for number in range(len(specs))]
    linux = medium.Linux(tree=tree.tree(print), functions=tuple(map(as_tested, specs)), patience=4.0)
    buses = range(1, len(specs) + 1)
    disk = run.path / "disk.fat"
    files = medium.boot_files(toolchain.efi_shell(print), ports, buses, linux, disk)
    medium.write(files | medium.linux_files(linux, disk), disk)
    arguments = [
        *("-machine", "q35,memory-backend=memory,pflash0=code,pflash1=vars"),
        *("-accel", "tcg", "-cpu", "max", "-m", "256M"),
        *("-object", "memory-backend-memfd,id=memory,size=256M,share=on"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"),
        *("-blockdev", f"driver=file,filename={code},node-name=code,read-only=on"),
        *("-blockdev", "driver=file,filename=vars.fd,node-name=vars"),
        *("-blockdev", "driver=file,filename=disk.fat,node-name=disk,read-only=on"),
        *("-device", "virtio-blk-pci,drive=disk,bootindex=1,romfile="),
    ]
    for (slot, _), spec in zip(ports, specs, strict=True):
        arguments += ["-device", f"pcie-root-port,id={spec.name}port,addr={slot:x}.0,chassis={slot}"]
        socket = {"type": "unix", "path": f"{spec.name}.sock"}
        device = {"driver": "vfio-user-pci", "bus": f"{spec.name}port", "socket": socket}
        arguments += ["-device", json.dumps(device)]
    with device_server(specs, run=run):
        first, again = (_said(qemu, arguments, run, name, seconds) for name in ("first", "again"))
    return first, again


def _said(qemu: Qemu, arguments: Sequence[str], run: RunDirectory, name: str, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    try:
        with machine(qemu, arguments, run=run, name=name, patience=_PATIENCE) as vm:
            while vm.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            text = vm.serial.read_text(errors="replace")
    except LabFault:
        return ""
    return "\n".join(map(payload.clean, text.splitlines()))
