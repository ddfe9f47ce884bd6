"""DB814, DB818 and DB821: how functions come from the host to the guest, and back."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts import reset
from pipeline.facts.kernels import canonical
from pipeline.lint.finding import Severity
from pipeline.lint.ids import written_ids
from pipeline.lint.receiving import given, receiving
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup


@rule(
    "DB814",
    holds="every libvirt",
    source="libvirt docs/formatdomain.rst, Host device assignment; src/hypervisor/virhostdev.c",
)
def not_managed(setup: Setup) -> Iterator[Problem]:
    """Nothing binds a function to vfio-pci: neither libvirt nor the host's files.

    With `managed='no'`, which is what libvirt takes where the attribute is left out, the function has to be bound to
    vfio-pci before the guest starts. libvirt refuses otherwise: "Unmanaged PCI device must be manually detached from
    the host".
    """
    host = setup.host
    if host.modprobe is None or host.command_line is None or host.until_guest_starts:
        return
    ids = {":".join(one.value.split(":")[:2]) for one in written_ids(setup)}
    for domain in receiving(setup):
        for device, function in given(setup, domain):
            bound = str(function.ids) in ids or function.address in host.overrides
            if device.managed or bound or canonical(function.in_use or "") == "vfio_pci":
                continue
            yield Problem(
                severity=Severity.WARNING,
                place=device.place,
                found=f"nothing binds {function.address} to vfio-pci, and the hostdev is not managed",
                why="libvirt then refuses to start the guest, unless a script has bound the function",
                fix=f"write managed='yes' into the hostdev, or put {function.ids} into the ids of vfio-pci",
            )


@rule(
    "DB818",
    holds="every libvirt",
    source="libvirt docs/formatdomain.rst; measured: 447 s instead of 35 s to userspace",
)
def emulated(setup: Setup) -> Iterator[Problem]:
    """The guest's processor is emulated, although it gets a device of the host.

    A domain of type='qemu' runs without KVM. The device works, but the guest is more than ten times slower than it
    could be: too slow for the drivers of a graphics card.
    """
    for domain in receiving(setup):
        if domain.kind == "qemu":
            yield Problem(
                severity=Severity.WARNING,
                place=domain.place,
                found=f"{domain.name} is a domain of type qemu, without KVM",
                why="its processor is emulated and more than ten times slower",
                fix="write <domain type='kvm'>",
            )


@rule("DB821", holds="every kernel, without the module vendor-reset", source="gnif/vendor-reset README.md")
def cannot_be_reset(setup: Setup) -> Iterator[Problem]:
    """The card starts once only in each boot of the host.

    Radeon cards of the families Vega 10, Vega 20, Navi 10, Navi 12 and Navi 14 do not come back from the resets that
    PCI has. The first start of the guest works. After it has been shut down, and often after a restart from within,
    the next start hangs or leaves the screen dark until the host is rebooted. The module vendor-reset, which the
    kernel does not have, brings a reset of their own; Navi 21 and later do not need it.
    """
    if setup.host.initramfs and any(
        canonical(one.value) == "vendor_reset" for one in setup.host.initramfs.modules
    ):
        return
    for domain in receiving(setup):
        for device, function in given(setup, domain):
            family = reset.stuck(function.ids)
            if family:
                yield Problem(
                    severity=Severity.NOTE,
                    place=device.place,
                    found=f"{function.address} is a {family.name}, which does not come back from a reset",
                    why="the second start of the guest hangs or stays dark until the host is rebooted",
                    fix="install the module vendor-reset (DKMS), load it early, and write device_specific into "
                    f"/sys/bus/pci/devices/{function.address.full}/reset_method at boot",
                    source=family.source,
                )


RULES: tuple[Rule, ...] = (not_managed, emulated, cannot_be_reset)
