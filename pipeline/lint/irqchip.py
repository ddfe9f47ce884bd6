"""DB65x: the guest's interrupt controller."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts import machines
from pipeline.facts.machines import Status
from pipeline.facts.version import parts
from pipeline.lint.edit import replace
from pipeline.lint.finding import Severity
from pipeline.lint.receiving import NVIDIA, given, is_audio, is_gpu, receiving
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.plan.model import Written
from pipeline.setup import Setup
from pipeline.setup.domain import Domain
from pipeline.setup.model import Function

_SPLIT_BY_DEFAULT = "pc-q35-4.0"
_WHOLE_AGAIN = "pc-q35-4.0.1"
_RESAMPLED_SINCE = "5.1"


@rule(
    "DB651",
    holds="QEMU before 5.1; pc-q35-4.0, and any type with <ioapic driver='qemu'/>",
    source="QEMU commits c87759ce876a (q35: Revert to kernel irqchip) and 'KVM: Kick resamplefd for split kernel "
    "irqchip' (5.1); ArchWiki PCI passthrough via OVMF",
)
def irqchip_split(setup: Setup) -> Iterator[Problem]:
    """The interrupt controller is split, and a function that is passed through needs INTx.

    QEMU 4.0 made `kernel_irqchip=split` the default of its new type pc-q35-4.0: the IOAPIC is then QEMU's, not the
    kernel's. The line interrupts (INTx) of an assigned device stay masked after the first, because nobody tells VFIO
    that the guest has handled it. HD audio uses INTx, and NVIDIA's Windows driver does so by default: the sound
    crackles or is silent, the screen stalls. pc-q35-4.0.1 and 4.1 went back to the kernel's controller, and QEMU 5.1
    and later handle INTx with the split one too.
    """
    qemu = setup.host.qemu
    if qemu is None or parts(qemu.value) >= parts(_RESAMPLED_SINCE):
        return
    for domain in receiving(setup):
        split = _split(domain)
        needing = [one for _, one in given(setup, domain) if _needs_intx(one)]
        if split is None or not needing:
            continue
        by_type = split is domain.machine
        usable = machines.status(_WHOLE_AGAIN, qemu=qemu.value) in {Status.SUPPORTED, Status.DEPRECATED}
        yield Problem(
            severity=Severity.WARNING,
            place=split.place,
            found=f"the interrupt controller of {domain.name} is split, and {needing[0].address} needs INTx",
            why=f"with QEMU {qemu.value} the line interrupts of assigned devices get stuck on a split controller: "
            "no or crackling sound, a stalling screen",
            fix="write <ioapic driver='kvm'/> into <features>"
            + f", or {_WHOLE_AGAIN} as machine type" * (by_type and usable),
            edits=(replace(split, _WHOLE_AGAIN if by_type else "kvm"),) if usable or not by_type else (),
        )


def _split(domain: Domain) -> Written[str] | None:
    """What makes the controller split: the driver of the IOAPIC, or the machine type where nothing else says it."""
    if any("kernel_irqchip" in argument.value for argument in domain.arguments):
        return None
    if domain.irqchip is not None:
        return domain.irqchip if domain.irqchip.value == "qemu" else None
    return domain.machine if domain.machine.value == _SPLIT_BY_DEFAULT else None


def _needs_intx(function: Function) -> bool:
    return is_audio(function) or (is_gpu(function) and function.ids.vendor == NVIDIA)


RULES: tuple[Rule, ...] = (irqchip_split,)
