"""DB205-DB208, DB211-DB214: what makes vfio-pci come before the drivers of the host, or not."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.drivers import brings
from pipeline.facts.kernels import canonical, driver_state
from pipeline.facts.parameters import meant_module
from pipeline.lint.command_line import early, given, kept_out, late
from pipeline.lint.edit import add_after, remove, replace
from pipeline.lint.finding import Severity
from pipeline.lint.ids import takes
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.lint.softdeps import rivals, vfio_first
from pipeline.plan.model import Written
from pipeline.setup import Setup
from pipeline.setup.model import Function

_ORDER = "measured: mkinitcpio v41, a GPU driver before vfio-pci in MODULES gets the card"


def built_into_kernel(setup: Setup) -> str:
    """Where it was read that vfio-pci is part of this host's kernel, empty where it is a module or not known."""
    kernel, distribution = setup.host.kernel, setup.host.distribution
    if kernel is None or distribution is None:
        return ""
    known = driver_state(distribution, kernel.value, "vfio_pci")
    return known.source if known.state == "built-in" else ""


def unordered(setup: Setup) -> list[tuple[Function, str]]:
    """The passed functions with the likeliest of their drivers, where no softdep loads vfio-pci before any of them."""
    out = {module for module, _ in kept_out(setup)}
    found = []
    for function in setup.board.passed if setup.board else ():
        drivers = [driver for driver in function.drivers if canonical(driver) not in out]
        overridden = function.address in setup.host.overrides
        if drivers and not overridden and not any(vfio_first(setup, driver) for driver in drivers):
            found.append((function, drivers[0]))
    return found


def uncontested(setup: Setup, *, screens_only: bool = False) -> bool:
    """Whether vfio-pci is loaded after boot and finds the functions without a driver: all of theirs are blacklisted.

    With `screens_only` that is asked of graphics alone.
    """
    initramfs, board = setup.host.initramfs, setup.board
    if initramfs is None or board is None or not board.passed:
        return False
    out = {module for module, _ in kept_out(setup)}
    return "vfio_pci" in {canonical(module.value) for module in initramfs.after_boot} and all(
        canonical(driver) in out
        for function in board.passed
        for driver in function.drivers
        if function.class_code.startswith("03") or not screens_only
    )


@rule("DB205", holds="every kernel; mkinitcpio, dracut and initramfs-tools", source=_ORDER)
def driver_brought_first(setup: Setup) -> Iterator[Problem]:
    """A module before vfio_pci brings the driver of a passed-through function with it.

    `nvidia_drm` cannot be loaded without `nvidia`, so `MODULES=(nvidia_drm vfio_pci)` hands the card to NVIDIA's driver
    although `nvidia` itself is not in the list.
    """
    initramfs = setup.host.initramfs
    if initramfs is None or setup.host.until_guest_starts:
        return
    listed = [canonical(module.value) for module in initramfs.modules]
    if "vfio_pci" not in listed:
        return
    place = listed.index("vfio_pci")
    wanted = rivals(setup)
    for module in initramfs.modules[:place]:
        driver = brings(canonical(module.value))
        if driver in wanted:
            yield Problem(
                severity=Severity.ERROR,
                place=module.place,
                found=f"{module.value} comes before vfio_pci and brings {driver}",
                why=f"{module.value} cannot be loaded without {driver}, which takes the card before vfio-pci is there",
                fix=f"put vfio_pci before {module.value}",
                edits=(remove(module), add_after(initramfs.modules[place], module.value)),
            )


@rule(
    "DB206",
    holds="every kernel; systemd and initramfs-tools",
    source="modules-load.d(5); NVIDIA/kubevirt-gpu-device-plugin issue 45",
)
def loaded_after_boot(setup: Setup) -> Iterator[Problem]:
    """vfio-pci is loaded when the initramfs has been left.

    modules-load.d and /etc/modules are read by the system that has been booted. Whatever driver the initramfs or udev
    loaded before that has the card by then.
    """
    initramfs = setup.host.initramfs
    if initramfs is None or setup.host.until_guest_starts or early(setup) or late(setup):
        return
    if uncontested(setup):
        return
    for module in initramfs.after_boot if rivals(setup) else ():
        if canonical(module.value) == "vfio_pci":
            yield Problem(
                severity=Severity.NOTE,
                place=module.place,
                found=f"{module.value} is loaded only when the initramfs has been left",
                why="the drivers of the host that are in the image or that udev loads are there before it",
                fix="name it among the modules of the initramfs, and make that anew",
            )


@rule("DB207", holds="every kernel", source="kernel drivers/vfio/Makefile")
def module_mistyped(setup: Setup) -> Iterator[Problem]:
    """No kernel has a module of that name.

    The tools that make an initramfs pass over it, some with an error that does not keep them from writing the image.
    """
    initramfs = setup.host.initramfs
    for module in (*initramfs.modules, *initramfs.late, *initramfs.after_boot) if initramfs else ():
        meant = meant_module(canonical(module.value))
        if meant:
            yield Problem(
                severity=Severity.WARNING,
                place=module.place,
                found=f"there is no module {module.value}",
                why="it is not put into the image and not loaded",
                fix=f"write {meant}, if that is meant",
                edits=(replace(module, meant),),
            )


@rule(
    "DB208",
    holds="kernels that have vfio-pci built in, such as Ubuntu 20.04's 5.4",
    source="kernel Documentation/admin-guide/kernel-parameters.rst; pop-os/pop issue 968",
)
def vfio_built_in(setup: Setup) -> Iterator[Problem]:
    """vfio-pci is part of the kernel, so modprobe.d does not reach it.

    Nothing loads a driver that is built in: its `options`, `install` and `softdep` lines are read by nobody. Its ids
    have to stand on the kernel command line, where they even come before every driver that is a module.
    """
    source, modprobe, board = built_into_kernel(setup), setup.host.modprobe, setup.board
    if not source or modprobe is None or board is None:
        return
    on_line = [one for _, value in given(setup, "vfio-pci.ids") for one in value.lower().split(",")]
    missed = [
        written
        for written in modprobe.vfio_ids
        if any(takes(written.value.lower(), one) for one in board.passed)
        and written.value.lower() not in on_line
    ]
    anchor = setup.host.command_line
    together = ",".join(dict.fromkeys(written.value for written in missed))
    if missed:
        yield Problem(
            severity=Severity.ERROR,
            place=modprobe.ids_where,
            found=f"the ids {together} are in modprobe.d, but vfio-pci is built into this kernel",
            why="nobody loads it, so nobody hands it the options of modprobe.d: it takes nothing",
            fix=f"add vfio-pci.ids={together} to the kernel command line",
            edits=(add_after(anchor.parameters[-1], f"vfio-pci.ids={together}"),)
            if anchor and anchor.parameters and not on_line
            else (),
            source=source,
        )
    for install in modprobe.installs:
        if canonical(install.value) == "vfio_pci":
            yield Problem(
                severity=Severity.ERROR,
                place=install.place,
                found="a command shall load vfio-pci, but vfio-pci is built into this kernel",
                why="nobody loads it, so the command is never run",
                fix="set driver_override from a script of the initramfs, or give the ids on the kernel command line",
                source=f"{source}; pop-os/pop issue 968",
            )


@rule("DB211", holds="dracut, every release", source="dracut.conf(5) add_drivers, force_drivers")
def only_on_demand(setup: Setup) -> Iterator[Problem]:
    """vfio-pci is in the image, but nothing loads it first.

    `add_drivers` puts a module into the image and leaves it to udev when it is loaded; for vfio-pci, which no device
    asks for, that is only when a softdep names it. `force_drivers` loads it before udev starts.
    """
    for module, function, driver in _overtaken(setup, "dracut"):
        yield Problem(
            severity=Severity.WARNING,
            place=module.place,
            found=f"{module.value} is in add_drivers, which does not load it before {driver}",
            why=f"no device asks for vfio-pci, so {driver} takes {function.address}",
            fix=f"name it in force_drivers, or write a softdep for each driver: softdep {driver} pre: vfio-pci",
        )


@rule(
    "DB212",
    holds="initramfs-tools, 0.142 to 0.148",
    source="measured: initramfs-tools loads its modules file after the udev trigger; bochs-drm and e1000e won",
)
def after_udev(setup: Setup) -> Iterator[Problem]:
    """initramfs-tools loads its list of modules only after udev has loaded the drivers.

    A softdep of the driver, or a script in scripts/init-top that loads vfio-pci, brings it before them.
    """
    for module, function, driver in _overtaken(setup, "initramfs-tools"):
        yield Problem(
            severity=Severity.WARNING,
            place=module.place,
            found=f"nothing loads vfio-pci before {driver}, which wants {function.address}",
            why="/etc/initramfs-tools/modules is loaded after the udev trigger: a driver that is in the image wins",
            fix=f"add `softdep {driver} pre: vfio-pci` to /etc/modprobe.d/vfio.conf, "
            "or a script in /etc/initramfs-tools/scripts/init-top that loads vfio-pci",
        )


def _overtaken(setup: Setup, generator: str) -> Iterator[tuple[Written[str], Function, str]]:
    """The line that loads vfio-pci late, and the first function whose driver comes before it."""
    host, module = setup.host, late(setup)
    if host.initramfs is None or host.initramfs.generator != generator or module is None:
        return
    if host.until_guest_starts or built_into_kernel(setup):
        return
    for function, driver in unordered(setup)[:1]:
        yield module, function, driver


@rule(
    "DB213",
    holds="mkinitcpio with the hooks systemd and kms",
    source="systemd units systemd-modules-load.service and systemd-udev-trigger.service have no order; "
    "measured: vfio-pci won in 6 boots of 6",
)
def not_ordered(setup: Setup) -> Iterator[Problem]:
    """Nothing orders vfio-pci and the driver of the card.

    With the systemd hook the list of MODULES and udev load modules at the same time. vfio-pci has won whenever that was
    tried, but only a softdep makes sure of it.
    """
    initramfs = setup.host.initramfs
    if initramfs is None or initramfs.generator != "mkinitcpio" or not early(setup):
        return
    if not {"systemd", "kms"} <= {hook.value for hook in initramfs.hooks} or setup.host.until_guest_starts:
        return
    for function, driver in unordered(setup):
        if function.class_code.startswith("03"):
            yield Problem(
                severity=Severity.NOTE,
                place=initramfs.hooks_where,
                found=f"no softdep loads vfio-pci before {driver}, which kms puts into the image",
                why="systemd loads MODULES and the drivers of devices at the same time, so vfio-pci may come second",
                fix=f"add softdep {driver} pre: vfio-pci",
            )


@rule(
    "DB214",
    holds="dracut, every release",
    source="dracut.sh omit_drivers_corrected; measured with dracut 106",
)
def omitted_in_vain(setup: Setup) -> Iterator[Problem]:
    """vfio-pci is in omit_drivers, which does nothing.

    What drivers, add_drivers or force_drivers name is put into the image all the same: dracut takes it out of
    omit_drivers. So the line does no harm, and whoever wanted the module left out does not get that.
    """
    initramfs = setup.host.initramfs
    if initramfs is None:
        return
    named = {canonical(module.value) for module in (*initramfs.modules, *initramfs.late)}
    for module in initramfs.omitted:
        if canonical(module.value) in {"vfio", "vfio_pci", "vfio_pci_core"} & named:
            yield Problem(
                severity=Severity.NOTE,
                place=module.place,
                found=f"{module.value} is in omit_drivers, and asked for by another list",
                why="dracut puts in what add_drivers or force_drivers name, whatever omit_drivers says",
                fix=f"take {module.value} out of omit_drivers",
                edits=(remove(module),),
            )


RULES: tuple[Rule, ...] = (
    driver_brought_first,
    loaded_after_boot,
    module_mistyped,
    vfio_built_in,
    only_on_demand,
    after_udev,
    not_ordered,
    omitted_in_vain,
)
