"""DB105-DB109, DB115: options of the vfio modules, whether in modprobe.d or on the kernel command line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.facts.kernels import canonical
from pipeline.facts.parameters import meant_parameter, options
from pipeline.lint.command_line import given, name_of
from pipeline.lint.edit import remove, replace
from pipeline.lint.finding import Severity
from pipeline.lint.ids import takes, well_formed, written_ids
from pipeline.lint.load_order import built_into_kernel
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.pci import Address
from pipeline.plan.model import Written
from pipeline.setup import Setup
from pipeline.setup.model import Function

_FILL = "kernel drivers/vfio/pci/vfio_pci.c vfio_pci_fill_ids()"
_KMOD = "kmod libkmod/libkmod-config.c kmod_config_new(), libkmod-module.c kmod_module_get_options(); modprobe.d(5)"
_EVERY = "every kernel with vfio-pci"
_PAIR = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}", re.IGNORECASE)


@rule("DB105", holds=_EVERY, source=_FILL)
def malformed_id(setup: Setup) -> Iterator[Problem]:
    """An entry of ids= is no pair of ids.

    vfio-pci reads `vendor:device`, each with up to four hexadecimal digits, and after them at most subsystem, class and
    mask. What it cannot read it passes over with "invalid id string"; an address such as 01:00.0 it even reads, as a
    device 0000 of the vendor 0001, which no machine has.
    """
    for written in written_ids(setup):
        if well_formed(written.value):
            continue
        function = _at(setup, written.value)
        yield Problem(
            severity=Severity.ERROR,
            place=written.place,
            found=f"{written.value} is no pair of ids"
            + (f": it is the address of {function.name}" if function else ""),
            why="vfio-pci reads vendor:device in hexadecimal digits and takes no device by anything else",
            fix=f"write {function.ids}"
            if function
            else "write vendor:device as `lspci -nn` shows it in brackets, such as 1002:67ef",
            edits=(replace(written, str(function.ids)),) if function else (),
        )


def _at(setup: Setup, text: str) -> Function | None:
    try:
        address = Address.parse(text)
    except ValueError:
        return None
    board = setup.board
    return next((one for one in board.functions if one.address == address), None) if board else None


@rule("DB106", holds=_EVERY, source=f"{_FILL}; modprobe.d(5)")
def ids_of_another_module(setup: Setup) -> Iterator[Problem]:
    """The ids are given to a module that does not take them.

    `ids=` is an option of vfio-pci. A line `options vfio ids=...` hands it to vfio.ko, which answers "unknown parameter
    'ids' ignored" and goes on.
    """
    for option in setup.host.modprobe.options if setup.host.modprobe else ():
        if option.key == "ids" and canonical(option.module) in {"vfio", "vfio_iommu_type1", "vfio_pci_core"}:
            yield Problem(
                severity=Severity.ERROR,
                place=option.place,
                found=f"ids= is given to {option.module}",
                why=f"it is an option of vfio-pci: {option.module} passes over it, and vfio-pci takes nothing",
                fix=f"write `options vfio-pci ids={option.value}`",
            )


@rule("DB107", holds=f"{_EVERY} as a module; kmod, every release", source=f"{_KMOD}; {_FILL}")
def ids_overridden(setup: Setup) -> Iterator[Problem]:
    """The ids stand in more than one place, and only the last one counts.

    modprobe joins all options of a module, those of the kernel command line behind those of modprobe.d, and vfio-pci
    keeps the last `ids=` it is given: the lists are not added up.
    """
    lists = _lists(setup)
    if len(lists) < 2 or built_into_kernel(setup):
        return  # DB208: no one reads modprobe.d for a driver that is built in
    last, where = lists[-1]
    kept = {one.lower() for one in last}
    for values, place in lists[:-1]:
        lost = [one for one in values if one.lower() not in kept]
        if not lost:
            continue
        passed = setup.board.passed if setup.board else ()
        missed = [
            function
            for function in passed
            if any(takes(one.lower(), function) for one in lost)
            and not any(takes(one, function) for one in kept)
        ]
        names = ", ".join(str(function.address) for function in missed)
        yield Problem(
            severity=Severity.ERROR if missed else Severity.WARNING,
            place=place.place,
            found=f"{', '.join(lost)} does not count: {where.place} gives ids= once more",
            why="modprobe joins the options and vfio-pci keeps the last ids= alone"
            + (f", so it does not take {names}" if missed else ""),
            fix=f"write all ids in one place, best in {where.place.file}",
        )


def _lists(setup: Setup) -> list[tuple[list[str], Written[str]]]:
    """Every ids= of vfio-pci in the order in which modprobe hands them over."""
    modprobe = setup.host.modprobe
    found = [
        ([one for one in option.value.split(",") if one], Written(value=option.value, place=option.place))
        for option in (modprobe.options if modprobe else ())
        if canonical(option.module) == "vfio_pci" and option.key == "ids"
    ]
    if not found and modprobe and modprobe.vfio_ids:
        found = [([one.value for one in modprobe.vfio_ids], modprobe.vfio_ids[0])]
    found += [
        ([one for one in value.split(",") if one], written)
        for written, value in given(setup, "vfio-pci.ids")
        if value
    ]
    return found


@rule("DB108", holds=_EVERY, source="kernel drivers/vfio/pci/vfio_pci.c module_param(); kernel/module/main.c")
def option_unknown(setup: Setup) -> Iterator[Problem]:
    """vfio-pci has no such option.

    The kernel loads the module all the same and says "unknown parameter ignored". Nearly always it is a blank behind a
    comma of `ids=`, which ends the list there, or `id=` for `ids=`.
    """
    known = options("vfio_pci")
    for key, written in _options(setup):
        if key in known:
            continue
        blank = _PAIR.match(key) is not None
        missed = blank and any(takes(key.lower(), one) for one in (setup.board.passed if setup.board else ()))
        yield Problem(
            severity=Severity.ERROR if missed else Severity.WARNING,
            place=written.place,
            found=f"{key} is not an option of vfio-pci",
            why="a blank ended the list of ids before it, so vfio-pci does not see it"
            if blank
            else "the kernel passes over it; the module is loaded without it",
            fix="write the ids with commas and no blanks between them"
            if blank
            else f"vfio-pci has {', '.join(known)}",
        )


def _options(setup: Setup) -> Iterator[tuple[str, Written[str]]]:
    for option in setup.host.modprobe.options if setup.host.modprobe else ():
        if canonical(option.module) == "vfio_pci":
            yield option.key, Written(value=option.key, place=option.place)
    for written in setup.host.command_line.parameters if setup.host.command_line else ():
        name = written.value.partition("=")[0]
        module, dot, key = name.partition(".")
        if (
            dot and canonical(module) == "vfio_pci" and meant_parameter(name) is None
        ):  # else DB406 speaks of it
            yield key, written


_UNSAFE = ("vfio_iommu_type1", "iommufd")
_TRUE = {"", "1", "y", "yes", "on", "true", "t"}


@rule(
    "DB109",
    holds="every kernel with VFIO; needed only on machines without interrupt remapping",
    source="kernel drivers/vfio/vfio_iommu_type1.c vfio_iommu_type1_attach_group(), drivers/iommu/iommufd/device.c",
)
def unsafe_interrupts(setup: Setup) -> Iterator[Problem]:
    """Guests are allowed to send the host interrupts of their choice.

    Without interrupt remapping the kernel refuses to hand a device over, because a guest that controls it can write any
    message-signalled interrupt to the host and so crash it or worse. `allow_unsafe_interrupts` takes that check away.
    Every processor of the last ten years remaps interrupts: there the option does nothing but wait for the day on which
    remapping is off by mistake.
    """
    why = (
        "where interrupts are not remapped, a guest can raise any interrupt of the host through its device; "
        "where they are, it changes nothing"
    )
    fix = (
        'remove it; if the guest then ends with "No interrupt remapping support", '
        "turn that on in the firmware's settings"
    )
    for option in setup.host.modprobe.options if setup.host.modprobe else ():
        unsafe = option.key == "allow_unsafe_interrupts" and option.value.lower() in _TRUE
        if unsafe and canonical(option.module) in _UNSAFE:
            yield Problem(
                severity=Severity.WARNING,
                place=option.place,
                found=f"{option.module} allows unsafe interrupts",
                why=why,
                fix=fix,
            )
    for written, value in given(setup, *(f"{module}.allow_unsafe_interrupts" for module in _UNSAFE)):
        if value.lower() in _TRUE:
            yield Problem(
                severity=Severity.WARNING,
                place=written.place,
                found=f"{name_of(written.value).partition('.')[0]} allows unsafe interrupts",
                why=why,
                fix=fix,
                edits=(remove(written),),
            )


@rule("DB115", holds="kernels with pci-stub", source="kernel drivers/pci/pci-stub.c")
def held_by_stub(setup: Setup) -> Iterator[Problem]:
    """pci-stub is told to hold a function that is passed through.

    It was the way before vfio-pci had `ids=` (kernel 4.1). A driver that is part of the kernel, as pci-stub often is,
    comes before vfio-pci, so the function is not vfio-pci's until libvirt moves it (`managed='yes'`).
    """
    for written, value in given(setup, "pci-stub.ids"):
        held = [
            function.address
            for function in (setup.board.passed if setup.board else ())
            if any(takes(one, function) for one in value.lower().split(","))
        ]
        if held:
            yield Problem(
                severity=Severity.NOTE,
                place=written.place,
                found=f"pci-stub holds {', '.join(map(str, held))} in place of vfio-pci",
                why="the guest gets it only if libvirt moves it when it starts (managed='yes')",
                fix=f"write vfio-pci.ids={value}",
                edits=(replace(written, f"vfio-pci.ids={value}"),),
            )


RULES: tuple[Rule, ...] = (
    malformed_id,
    ids_of_another_module,
    ids_overridden,
    option_unknown,
    unsafe_interrupts,
    held_by_stub,
)
