"""DB3xx: how the initramfs is built."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from pipeline.facts.initramfs import hooks
from pipeline.lint.edit import add_after, replace
from pipeline.lint.finding import Severity
from pipeline.lint.ids import written_ids
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup
from pipeline.setup.model import Origin


@rule(
    "DB301",
    holds="mkinitcpio, every release",
    source="measured: mkinitcpio v41 with and without modconf; archlinux/mkinitcpio install/modconf",
)
def modconf_missing(setup: Setup) -> Iterator[Problem]:
    """HOOKS lacks modconf.

    It copies /etc/modprobe.d into the image. Without it vfio-pci is loaded in the initramfs without `ids=` and takes
    nothing, unless the ids stand on the kernel command line.
    """
    initramfs = setup.host.initramfs
    if initramfs is None or initramfs.generator != "mkinitcpio" or setup.host.until_guest_starts:
        return
    if "modconf" in {hook.value for hook in initramfs.hooks}:
        return
    if "/etc/modprobe.d/vfio.conf" in {file.value for file in initramfs.files}:
        return
    of_modprobe = set(setup.host.modprobe.vfio_ids) if setup.host.modprobe else set()
    early = {one.value for one in written_ids(setup) if one not in of_modprobe}
    passed = setup.board.passed if setup.board else ()
    known = bool(passed) and all(str(function.ids) in early for function in passed)
    anchors = [hook for hook in initramfs.hooks if hook.value in {"autodetect", "systemd", "udev", "base"}]
    distribution = ", or leave out host.initramfs.hooks to have the distribution's"
    yield Problem(
        severity=Severity.WARNING if known else Severity.ERROR,
        place=initramfs.hooks_where,
        found="modconf is not in HOOKS",
        why="it copies /etc/modprobe.d into the image; without it the softdeps are not there"
        if known
        else "it copies /etc/modprobe.d/vfio.conf into the image; without it vfio-pci is loaded without ids= "
        "and takes nothing",
        fix="add modconf" + distribution * (setup.origin is Origin.SCENARIO),
        edits=(add_after(anchors[-1], "modconf"),) if anchors else (),
    )


@rule(
    "DB302",
    holds="mkinitcpio, every release",
    source="archlinux/mkinitcpio install/ and the packages that add hooks",
)
def hook_unknown(setup: Setup) -> Iterator[Problem]:
    """No package is known to install the hook.

    mkinitcpio says that the hook cannot be found, goes on without it and ends with status 1.
    """
    initramfs = setup.host.initramfs
    if initramfs is None or initramfs.generator != "mkinitcpio":
        return
    known = hooks("mkinitcpio")
    for hook in initramfs.hooks:
        if hook.value not in known:
            close = get_close_matches(hook.value, sorted(known), n=1)
            yield Problem(
                severity=Severity.WARNING,
                place=hook.place,
                found=f"{hook.value} is no hook of mkinitcpio that is known here",
                why=f"mkinitcpio says \"ERROR: Hook '{hook.value}' cannot be found\" where it is not there",
                fix=f"write {close[0]}, if that is meant"
                if close
                else "remove it, or make sure that its package is installed",
                edits=(replace(hook, close[0]),) if close else (),
            )


@rule(
    "DB303",
    holds="hosts whose preset or generator makes one image a kernel",
    source="the distribution's packages",
)
def no_fallback(setup: Setup) -> Iterator[Problem]:
    """There is no fallback image any more.

    Guides call the fallback entry the way back from a dark screen. Presets of today make no such image, and one that is
    made all the same has the vfio modules too.
    """
    facts, initramfs = setup.host.facts, setup.host.initramfs
    if facts is None or initramfs is None or initramfs.fallback is not False:
        return
    if setup.host.until_guest_starts:
        return
    scenario = setup.origin is Origin.SCENARIO
    yield Problem(
        severity=Severity.NOTE,
        place=setup.host.place,
        found=f"{facts.os_release['NAME']} makes no fallback initramfs",
        why="guides call the fallback entry the way back from a dark screen; the preset has no such image any "
        "more, and one that is made all the same has the vfio modules too"
        if initramfs.generator == "mkinitcpio"
        else f"{initramfs.generator} makes one image for each kernel, and those of older kernels get the vfio "
        "modules too as soon as they are made anew",
        fix=_way_back(setup) if scenario else "add a menu entry with module_blacklist=vfio_pci",
        source=facts.source,
    )


def _way_back(setup: Setup) -> str:
    if setup.host.bootloader == "uki":
        return "choose the image without passthrough in the menu, which the preset of the bundle makes"
    return "choose `Without passthrough` in the menu, which the bundle adds; verify --boot fallback proves it"


RULES: tuple[Rule, ...] = (modconf_missing, hook_unknown, no_fallback)
