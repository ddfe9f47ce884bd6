"""Which accelerator really works here: proven by running something, not by a device file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import BadInput, LabFault

Name = Literal["kvm", "tcg"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Accelerator:
    """What runs L1 and, in it, L2; `reason` says why in one line."""

    l1: Name
    l2: Name
    reason: str


def checked(name: str) -> str:
    """What --accel may say, nothing too; raises BadInput for anything else."""
    if name not in {"", "kvm", "tcg"}:
        raise BadInput(f"there is no accelerator {name!r}", hint="--accel kvm or --accel tcg")
    return name


def choose(override: str | None, kvm_problem: Callable[[], str]) -> Accelerator:
    """Take `override` (kvm or tcg), else KVM where `kvm_problem` finds nothing wrong with it.

    KVM in a guest of TCG is never chosen: QEMU's emulation of SVM aborts in about half of nested OVMF boots
    (ran, 11.1.3). Raises LabFault where KVM was asked for and does not work.
    """
    if override == "tcg":
        return Accelerator(l1="tcg", l2="tcg", reason="tcg: as asked for")
    problem = kvm_problem()
    if override == "kvm" and problem:
        raise LabFault(f"KVM was asked for and does not work: {problem}", hint="leave out --accel kvm")
    if problem:
        return Accelerator(l1="tcg", l2="tcg", reason=f"tcg: {problem}")
    if nested():
        return Accelerator(l1="kvm", l2="kvm", reason="kvm: a kernel ran on it, and nesting is on")
    return Accelerator(
        l1="kvm", l2="tcg", reason="kvm: a kernel ran on it; nesting is off, so L2 runs under tcg"
    )


def nested() -> bool:
    """Whether the loaded KVM module lets a guest run guests."""
    for module in ("kvm_amd", "kvm_intel"):
        try:
            if Path(f"/sys/module/{module}/parameters/nested").read_text().strip() in {"1", "Y"}:
                return True
        except OSError:
            continue
    return False
