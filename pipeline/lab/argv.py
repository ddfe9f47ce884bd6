"""The command line of QEMU for a domain at L0: libvirt's own, less what libvirt itself would do at run time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from pipeline.lab import translator
from pipeline.lab.cache import Progress
from pipeline.lab.direct_devices import EMULATED
from pipeline.lab.direct_domain import SERIAL, DirectDomain, for_direct
from pipeline.lab.releases import Release
from pipeline.pci import Address

SERIAL_CHARDEV = "charserial0"


def domain(
    xml: bytes, release: Release, *, machine: str, sockets: dict[Address, str], accelerator: str
) -> DirectDomain:
    """The rendered domain `xml` at L0 on `release` with the machine type `machine`; `sockets` as for `for_direct`."""
    version = release.firmware.version
    return for_direct(
        xml,
        machine=machine,
        firmware=f"OVMF {version} of QEMU {release.name}" if version else f"the OVMF of QEMU {release.name}",
        sockets=sockets,
        left_out=() if release.has(EMULATED) else (EMULATED,),
        accelerator=accelerator,
    )


def arguments(domain: DirectDomain, release: Release, progress: Progress) -> tuple[str, ...]:
    """QEMU's arguments for it, but for the back end of the serial line (chardev SERIAL_CHARDEV).

    Raises translator.Refused where libvirt does not take it, LabFault.
    """
    return complete(translator.translate(domain.xml, release, progress), domain)


def complete(translated: Sequence[str], domain: DirectDomain) -> tuple[str, ...]:
    """Libvirt's arguments without its monitor, secrets and paused start, with the devices that it was not told of."""
    added: list[str] = []
    for backend in domain.backends:
        added += ["-netdev", backend]
    for device in domain.devices:
        added += ["-device", json.dumps(device)]
    return (*_stripped(translated), *added)


def _stripped(arguments: Sequence[str]) -> Iterator[str]:
    """Options with a value come in pairs, so an option is what begins with a dash where a value is not awaited."""
    at = 0
    while at < len(arguments):
        option = arguments[at]
        value = (
            arguments[at + 1] if at + 1 < len(arguments) and not arguments[at + 1].startswith("-") else None
        )
        at += 1 if value is None else 2
        if option == "-S" or (value is not None and _is_libvirts(option, value)):
            continue
        yield option
        if value is not None:
            yield value


def _is_libvirts(option: str, value: str) -> bool:
    match option:
        case "-object":
            return '"id":"masterKey0"' in value
        case "-chardev":
            return ",id=charmonitor," in value or f",id={SERIAL_CHARDEV},path={SERIAL}" in value
        case "-mon":
            return "chardev=charmonitor" in value
    return False
