"""What stands on the kernel command line that the boot loader in use passes."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.kernels import canonical
from pipeline.plan.model import Written
from pipeline.setup import Setup

# modprobe.d(5), kernel Documentation/admin-guide/kernel-parameters.txt, dracut.cmdline(7)
_KEEP_OUT = ("modprobe.blacklist", "module_blacklist", "rd.driver.blacklist")


def name_of(parameter: str) -> str:
    """The name, with `_` for `-`: the kernel takes them for the same (kernel/params.c parameq())."""
    return parameter.partition("=")[0].replace("-", "_")


def given(setup: Setup, *names: str) -> Iterator[tuple[Written[str], str]]:
    """The parameters that have one of the names, each with its value, which may be empty."""
    wanted = {name_of(name) for name in names}
    for written in setup.host.command_line.parameters if setup.host.command_line else ():
        if name_of(written.value) in wanted:
            yield written, written.value.partition("=")[2]


def has(setup: Setup, *parameters: str) -> bool:
    """Whether one of the parameters stands there, with exactly that value."""
    line = setup.host.command_line
    return line is not None and any(written.value in parameters for written in line.parameters)


def kept_out(setup: Setup) -> Iterator[tuple[str, Written[str]]]:
    """Modules that no alias loads, as the kernel spells them: of modprobe.d and of the command line."""
    for written in setup.host.modprobe.blacklists if setup.host.modprobe else ():
        yield canonical(written.value), written
    for written, value in given(setup, *_KEEP_OUT):
        for module in value.split(","):
            yield canonical(module), written


def early(setup: Setup) -> bool:
    """Whether vfio_pci is among the modules that are loaded before the drivers of devices."""
    initramfs = setup.host.initramfs
    return initramfs is not None and "vfio_pci" in {canonical(module.value) for module in initramfs.modules}


def late(setup: Setup) -> Written[str] | None:
    """The line that puts vfio_pci into the image without loading it before the drivers of devices."""
    initramfs = setup.host.initramfs
    if initramfs is None or early(setup):
        return None
    return next((module for module in initramfs.late if canonical(module.value) == "vfio_pci"), None)
