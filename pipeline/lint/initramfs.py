"""DB3xx: how the initramfs is built."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from pipeline.facts.initramfs import hooks
from pipeline.lint.finding import Finding, Rule, Severity
from pipeline.plan import Plan
from pipeline.scenario import Loaded

_HOOKS = ("host", "initramfs", "hooks")


def modconf_missing(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB301: HOOKS lacks modconf."""
    if plan.host.generator != "mkinitcpio" or "modconf" in {hook.value for hook in plan.host.hooks}:
        return
    early = {
        one.lower()
        for parameter in plan.host.kernel_parameters
        if parameter.value.replace("_", "-").startswith("vfio-pci.ids=")
        for one in parameter.value.partition("=")[2].split(",")
    }
    known = all(str(function.ids) in early for function in plan.passed)
    yield Finding(
        code="DB301",
        severity=Severity.WARNING if known else Severity.ERROR,
        place=loaded.source.place(_HOOKS),
        found="modconf is not in HOOKS",
        why="it copies /etc/modprobe.d into the image; without it the softdeps are not there"
        if known
        else "it copies /etc/modprobe.d/vfio.conf into the image; without it vfio-pci is loaded without ids= "
        "and takes nothing",
        fix="add modconf, or leave out host.initramfs.hooks to have the distribution's",
        source="measured: mkinitcpio v41 with and without modconf; archlinux/mkinitcpio install/modconf",
    )


def hook_unknown(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB302: no package is known to install the hook."""
    known = hooks("mkinitcpio")
    for hook in plan.host.hooks:
        if hook.value not in known:
            close = get_close_matches(hook.value, sorted(known), n=1)
            yield Finding(
                code="DB302",
                severity=Severity.WARNING,
                place=hook.place,
                found=f"{hook.value} is no hook of mkinitcpio that is known here",
                why=f"mkinitcpio says \"ERROR: Hook '{hook.value}' cannot be found\" where it is not there",
                fix=f"write {close[0]}, if that is meant"
                if close
                else "remove it, or make sure that its package is installed",
                source="archlinux/mkinitcpio install/ and the packages that add hooks",
            )


def no_fallback(plan: Plan, loaded: Loaded) -> Iterator[Finding]:
    """DB303: the distribution makes no fallback image any more."""
    facts = plan.host.distribution
    if not facts.fallback_by_default:
        yield Finding(
            code="DB303",
            severity=Severity.NOTE,
            place=loaded.source.place(("host", "year")),
            found=f"{facts.os_release['NAME']} of {plan.host.year} makes no fallback initramfs",
            why="guides call the fallback entry the way back from a dark screen; the preset has no such image any "
            "more, and one that is made all the same has the vfio modules too"
            if plan.host.generator == "mkinitcpio"
            else f"{plan.host.generator} makes one image for each kernel, and those of older kernels get the vfio "
            "modules too as soon as they are made anew",
            fix="choose `Without passthrough` in the menu, which the bundle adds; verify --boot fallback proves it"
            if plan.host.bootloader != "uki"
            else "choose the image without passthrough in the menu, which the preset of the bundle makes",
            source=facts.source,
        )


RULES: tuple[Rule, ...] = (modconf_missing, hook_unknown, no_fallback)
