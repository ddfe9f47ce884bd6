"""The guests that get functions of the host, and which functions these are."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.pci import Address
from pipeline.setup import Setup
from pipeline.setup.domain import Domain, HostDevice
from pipeline.setup.model import Function

NVIDIA = 0x10DE


def receiving(setup: Setup) -> tuple[Domain, ...]:
    """The domains with a PCI function of the host; a machine may have others, which are none of a rule's business."""
    return tuple(domain for domain in setup.domains if domain.host_devices)


def functions(setup: Setup) -> dict[Address, Function]:
    """The functions of the host by their address, none where the board is not known."""
    return {one.address: one for one in setup.board.functions} if setup.board else {}


def given(setup: Setup, domain: Domain) -> Iterator[tuple[HostDevice, Function]]:
    """The hostdevs of a domain with the function that each stands for, where that is known."""
    known = functions(setup)
    for device in domain.host_devices:
        if device.source in known:
            yield device, known[device.source]


def is_gpu(function: Function) -> bool:
    """Whether it is a display controller (class 03)."""
    return function.class_code.startswith("03")


def is_audio(function: Function) -> bool:
    """Whether it is an HD audio controller (class 0403)."""
    return function.class_code.startswith("0403")


def gpus(setup: Setup, domain: Domain) -> tuple[tuple[HostDevice, Function], ...]:
    """The display controllers that a domain gets."""
    return tuple((device, one) for device, one in given(setup, domain) if is_gpu(one))
