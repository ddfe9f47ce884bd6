"""The command line of QEMU for a domain at L0: libvirt's own, less what libvirt itself would do at run time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.lab import translator
from pipeline.lab.cache import Progress
from pipeline.lab.direct_devices import EMULATED
from pipeline.lab.direct_domain import SERIAL, DirectDomain, for_direct
from pipeline.lab.releases import Release
from pipeline.pci import Address

SERIAL_CHARDEV = "charserial0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Direct:
    """A domain at L0: QEMU's arguments, but for the back end of the serial line (chardev SERIAL_CHARDEV)."""

    arguments: tuple[str, ...]
    domain: DirectDomain


def direct(
    xml: bytes,
    release: Release,
    *,
    machine: str,
    sockets: dict[Address, str],
    accelerator: str,
    progress: Progress,
) -> Direct:
    """The rendered domain `xml` on `release` with the machine type `machine`.

    `sockets` as for `for_direct`. Raises translator.Refused where libvirt does not take it, LabFault.
    """
    version = release.firmware.version
    changed = for_direct(
        xml,
        machine=machine,
        firmware=f"OVMF {version} of QEMU {release.name}" if version else f"the OVMF of QEMU {release.name}",
        sockets=sockets,
        left_out=() if release.has(EMULATED) else (EMULATED,),
        accelerator=accelerator,
    )
    translated = translator.translate(changed.xml, release, progress)
    return Direct(arguments=complete(translated, changed), domain=changed)


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
