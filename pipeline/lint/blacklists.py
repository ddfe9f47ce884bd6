"""DB110-DB112: modules that are kept from being loaded."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.kernels import canonical
from pipeline.lint.command_line import early, given, kept_out
from pipeline.lint.edit import Edit, remove, replace
from pipeline.lint.finding import Severity
from pipeline.lint.ids import takes, written_ids
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.plan.model import Written
from pipeline.setup import Setup
from pipeline.setup.model import Function

_KMOD = "modprobe.d(5) blacklist; kmod tools/modprobe.c --use-blacklist"
_VFIO = {"vfio", "vfio_pci", "vfio_pci_core", "vfio_iommu_type1"}
# The base classes whose loss the owner notices at once.
_SCREEN, _STORAGE = "03", "01"


def _without(setup: Setup, written: Written[str], module: str) -> tuple[Edit, ...]:
    """A parameter of the command line with one module less; a line of modprobe.d is the owner's to remove."""
    for parameter, value in given(setup, written.value.partition("=")[0]):
        if parameter == written and value:
            left = [one for one in value.split(",") if canonical(one) != module]
            name = written.value.partition("=")[0]
            return (replace(written, f"{name}={','.join(left)}") if left else remove(written),)
    return ()


@rule("DB110", holds="every kernel; kmod, every release", source=f"{_KMOD}; archlinux/mkinitcpio init")
def vfio_kept_out(setup: Setup) -> Iterator[Problem]:
    """A module of VFIO itself is blacklisted.

    The initramfs loads its list of modules with `modprobe -b`, which passes over a blacklisted module without a word,
    and systemd-modules-load does the same. `module_blacklist=` refuses it even to whoever loads it by hand.
    """
    for module, written in kept_out(setup):
        if module in _VFIO:
            yield Problem(
                severity=Severity.ERROR,
                place=written.place,
                found=f"{module} is blacklisted",
                why="the initramfs passes over it, so vfio-pci is not loaded and the drivers of the host take the "
                "functions",
                fix=f"take {module} out of the blacklist",
                edits=_without(setup, written, module),
            )


@rule("DB111", holds="every kernel; kmod, every release", source=_KMOD)
def own_driver_kept_out(setup: Setup) -> Iterator[Problem]:
    """The blacklist also takes the driver from a device that the host keeps.

    A blacklist knows drivers, not devices: `blacklist amdgpu`, meant for the guest's card, leaves the host's own AMD
    graphics without a driver, too. `ids=` of vfio-pci takes one card and leaves the driver to the other.
    """
    board = setup.board
    if board is None:
        return
    out = dict(reversed([*kept_out(setup)]))
    for function in board.functions:
        drivers = [canonical(driver) for driver in function.drivers]
        if function.passed or not drivers or not all(driver in out for driver in drivers):
            continue
        if function.in_use and canonical(function.in_use) not in out:
            continue
        grave = function.class_code[:2] in {_SCREEN, _STORAGE}
        written = out[drivers[0]]
        yield Problem(
            severity=Severity.WARNING if grave else Severity.NOTE,
            place=written.place,
            found=f"{function.drivers[0]} is blacklisted, and {function.address}, which the host keeps, has no other",
            why="a blacklist knows drivers, not devices: no driver takes it at boot"
            + (", so the host's screen stays with the picture of the firmware" if _screen(function) else ""),
            fix=f"take {function.drivers[0]} out of the blacklist; ids= of vfio-pci keeps it from the guest's card",
            edits=_without(setup, written, drivers[0]),
        )


def _screen(function: Function) -> bool:
    return function.class_code.startswith(_SCREEN)


@rule("DB112", holds="every kernel; kmod, every release", source=_KMOD)
def guest_driver_kept_out(setup: Setup) -> Iterator[Problem]:
    """The driver of the guest's card is blacklisted although vfio-pci comes first.

    It does no harm, but it does not protect anything either: a blacklist only stops loading by alias, so
    `modprobe nvidia`, a softdep or a service loads the driver all the same. What holds is that vfio-pci already has the
    card.
    """
    board = setup.board
    if board is None or not early(setup):
        return
    ids = written_ids(setup)
    kept = {canonical(driver) for one in board.functions if not one.passed for driver in one.drivers}
    named: set[str] = set()
    for module, written in kept_out(setup):
        cards = [one for one in board.passed if module in map(canonical, one.drivers)]
        held = all(any(takes(one.value, card) for one in ids) for card in cards)
        # What a package installs below /usr/lib is not the owner's to judge.
        own = "usr/lib/" not in written.place.file
        if cards and held and own and module not in kept | named:
            named.add(module)
            yield Problem(
                severity=Severity.NOTE,
                place=written.place,
                found=f"{module} is blacklisted, but vfio-pci has {cards[0].address} before it anyway",
                why="a blacklist only stops loading by alias: whoever names the module loads it all the same",
                fix="it may stay; the ids of vfio-pci are what keeps the card",
            )


RULES: tuple[Rule, ...] = (vfio_kept_out, own_driver_kept_out, guest_driver_kept_out)
