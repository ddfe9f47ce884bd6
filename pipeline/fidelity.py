"""How near a run is to the host that it stands for, and which checks it cannot prove."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pipeline.facts.kernels import canonical, driver_state, removal
from pipeline.lab.image import HostImage
from pipeline.lab.initcpio.modules import ModuleTree
from pipeline.plan.model import Check, Plan
from pipeline.verdict import CheckResult, Fidelity, Outcome

# Drivers that decide who has a function first, whatever is passed through.
_DRIVERS = ("xhci_pci", "ahci", "nvme", "amdgpu", "snd_hda_intel", "simpledrm")
_NOT_FOUND = re.compile(r"==> ERROR: module not found: '(.+)'")
_BY_DRIVER = {Check.BINDING, Check.FIRST_DRIVER, Check.VFIO_NODE}


def fidelity(plan: Plan, image: HostImage, *, qemu: str, fast: bool) -> Iterator[Fidelity]:
    """One row for each part that can decide a verdict."""
    host = plan.host
    name = host.distribution.os_release["NAME"]
    yield _kernel(plan, image)
    yield from _drivers(plan, image)
    own = host.generator == "mkinitcpio" and "mkinitcpio" not in image.generators
    yield _row(
        "initramfs tool",
        f"{host.generator} of {name}",
        "Dryboot's own reading of its configuration" if own else f"{host.generator} of {image.distribution}",
        "compared with mkinitcpio 41; what it does not know is an error"
        if own
        else "another version of the same tool",
    )
    init = "systemd" if "systemd" in {hook.value for hook in host.hooks} else "udev"
    yield _row(
        "init of the initramfs",
        init,
        "a shell script that starts udev" if own else init,
        "it loads MODULES as the host's does: before the udev trigger with udev, beside it with systemd",
    )
    yield _row(
        "boot loader",
        f"{host.bootloader} of {name}",
        "none: QEMU loads the kernel (--fast)" if fast else f"{host.bootloader} of {image.distribution}",
        "can: its errors are not seen" if fast else "only through the distribution's own menu scripts",
    )
    yield _row(
        "udev", f"of {name}", image.version("udev", "systemd"), "only through the distribution's own rules"
    )
    yield _row(
        "machine of the host", "as on the board", f"QEMU {qemu}", "see the functions and ports that stand in"
    )
    yield _row(
        "QEMU of the guest",
        host.qemu,
        image.version("qemu-system-x86"),
        "machine types that only one of them has",
    )
    yield _row(
        "OVMF of the guest",
        f"of {name}",
        image.version("ovmf", "edk2-ovmf"),
        "only defects of one of the two",
    )


def unproven(plan: Plan, image: HostImage) -> Mapping[str, str]:
    """The checks, by their ids, that hold here whatever the host does, with the reason.

    A driver that is built into the host's kernel has its function before any module; here it is a module itself.
    """
    tree = ModuleTree(image.tree, image.release)
    found: dict[str, str] = {}
    for function in plan.passed:
        for driver in function.drivers:
            asked = driver_state(plan.host.distribution.distribution, plan.host.kernel, driver)
            if asked.state != "built-in" or canonical(driver) in tree.built_in:
                continue
            reason = (
                f"{driver} is built into the host's kernel ({asked.source}) and a module here: on the host it has "
                f"{function.address} before vfio-pci is loaded"
            )
            found |= dict.fromkeys(_checks_of(plan, str(function.address)), reason)
    return found


def _checks_of(plan: Plan, address: str) -> Iterator[str]:
    """What depends on the driver that has a function: its own checks, and whether its group is viable."""
    groups = {
        one.subject for one in plan.expectations if one.check is Check.GROUP and address in one.expected
    }
    for one in plan.expectations:
        if (one.check in _BY_DRIVER and one.subject == address) or (
            one.check is Check.VIABLE and one.subject in groups
        ):
            yield one.id


def weigh(result: CheckResult, reasons: Mapping[str, str]) -> CheckResult:
    """The result, or that it is not proven here where it held for one of `reasons`."""
    reason = reasons.get(result.expectation.id)
    if reason is None or result.outcome is not Outcome.HELD:
        return result
    observed = result.observed if isinstance(result.observed, str) else ", ".join(result.observed)
    return replace(result, outcome=Outcome.NOT_PROVEN, observed=f"{observed}; but {reason}")


def lacking(plan: Plan, image: HostImage, output: str) -> str:
    """Why errors of the initramfs tool are those of the lab's kernel alone; empty where one is the scenario's.

    A module that the host's kernel still has may be gone from the one that stands for it.
    """
    ran = ".".join(image.release.split(".")[:2])
    errors = [line for line in output.splitlines() if line.startswith("==> ERROR: ")]
    missing = [_NOT_FOUND.fullmatch(line) for line in errors]
    names = [match[1] for match in missing if match]
    if not names or len(names) < len(errors):
        return ""
    gone = [removal(name, kernel=ran) for name in names if removal(name, kernel=plan.host.kernel) is None]
    if len(gone) < len(names) or None in gone:
        return ""
    listed = ", ".join(names)
    return f"kernel {plan.host.kernel} has {listed}, {image.release}, which stands for it, has not"


def _kernel(plan: Plan, image: HostImage) -> Fidelity:
    asked, ran = plan.host.kernel, image.release
    same = ran.startswith(f"{asked}.")
    name = plan.host.distribution.os_release["NAME"]
    return Fidelity(
        part="kernel",
        asked=f"{asked} of {name}",
        ran=f"{ran} of {image.distribution}",
        differs=True,
        effect="the same series with another configuration: see its drivers"
        if same
        else f"can: modules and rules of {asked} are not those of {ran}",
    )


def _drivers(plan: Plan, image: HostImage) -> Iterator[Fidelity]:
    tree = ModuleTree(image.tree, image.release)
    wanted: dict[str, list[str]] = {driver: [] for driver in _DRIVERS}
    for function in plan.passed:
        for driver in function.drivers:
            wanted.setdefault(canonical(driver), []).append(str(function.address))
    for driver, functions in wanted.items():
        asked = driver_state(plan.host.distribution.distribution, plan.host.kernel, driver)
        ran = "built-in" if driver in tree.built_in else "module" if tree.has(driver) else "absent"
        known = asked.state != "unknown"
        differs = asked.state != ran
        if not differs:
            effect = "none"
        elif not functions:
            effect = "none: no function of it is passed through"
        elif known:
            effect = f"can, for {', '.join(functions)}"
        else:
            effect = f"unknown, for {', '.join(functions)}"
        yield Fidelity(
            part=f"driver {driver}",
            asked=f"{asked.state} ({asked.source})" if known else "not known here",
            ran=ran,
            differs=differs,
            effect=effect,
        )


def _row(part: str, asked: str, ran: str, effect: str) -> Fidelity:
    return Fidelity(
        part=part, asked=asked, ran=ran, differs=asked != ran, effect=effect if asked != ran else "none"
    )
