"""DB2xx: the kernel modules of the early boot."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.initramfs import Generator, generator
from pipeline.facts.kernels import built_in, canonical, removal
from pipeline.lint.command_line import early, late
from pipeline.lint.edit import add_after, remove
from pipeline.lint.finding import Severity
from pipeline.lint.load_order import built_into_kernel, uncontested
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.lint.softdeps import vfio_first
from pipeline.setup import Setup
from pipeline.setup.model import Initramfs, Origin

_BUILD = "measured: mkinitcpio v41 with kernels 6.1 and 6.12"
_SOFTDEP = (
    "modprobe.d(5) softdep; measured: with amdgpu first in MODULES and its softdep vfio-pci gets the card"
)
_ORDER = "measured: mkinitcpio v41, a GPU driver before vfio-pci in MODULES gets the card"


def _list(tool: Generator) -> str:
    """What the list of modules is called in a sentence."""
    return tool.modules.partition(" of ")[0]


def _measured(tool: Generator, with_mkinitcpio: str) -> str:
    """What a statement about a generator rests on."""
    return with_mkinitcpio if tool.name == "mkinitcpio" else tool.source


def _known(initramfs: Initramfs | None) -> tuple[Initramfs, Generator] | None:
    """The initramfs with the facts about its generator, None where either is not known."""
    if initramfs is None:
        return None
    try:
        return initramfs, generator(initramfs.generator)
    except LookupError:
        return None


@rule("DB201", holds="kernels from the release that removed the module", source=_BUILD)
def module_gone(setup: Setup) -> Iterator[Problem]:
    """The kernel no longer has the module.

    Guides keep naming `vfio_virqfd`, which is part of `vfio.ko` since kernel 6.2. mkinitcpio then ends with an error
    although it writes the image, and whoever trusts the exit status does not reboot into it.
    """
    known, kernel = _known(setup.host.initramfs), setup.host.kernel
    if known is None or kernel is None:
        return
    initramfs, tool = known
    for module in initramfs.modules:
        gone = removal(module.value, kernel=kernel.value)
        if gone is None:
            continue
        if not tool.missing:
            severity, why = (
                Severity.NOTE,
                f"{tool.name} passes over it without a word and exits with status 0",
            )
        elif module.value.endswith("?"):
            severity, why = Severity.NOTE, f"{tool.name} passes over it because of the question mark"
        else:
            severity = Severity.ERROR
            message = tool.missing.format(module=module.value)
            why = f'{tool.name} ends with "{message}" and exit status 1, although it writes the image'
        yield Problem(
            severity=severity,
            place=module.place,
            found=f"kernel {kernel.value} has no module {gone.name}: {gone.reason} since {gone.removed_in}",
            why=why,
            fix=f"remove {module.value}",
            edits=(remove(module),),
            source=f"{gone.source}; {_measured(tool, _BUILD)}",
        )


@rule("DB202", holds="every kernel; mkinitcpio, dracut and initramfs-tools", source=_BUILD)
def vfio_missing(setup: Setup) -> Iterator[Problem]:
    """vfio_pci is not among the modules that are loaded early.

    It is then not in the image, and the drivers of the host take the functions first. A softdep in modprobe.d does not
    bring it in: softdeps are followed when a module is loaded, not when the image is made.
    """
    known = _known(setup.host.initramfs)
    if known is None or setup.host.until_guest_starts or not (setup.board is None or setup.board.passed):
        return
    initramfs, tool = known
    # DB208 speaks of a driver that is built in, DB211 and DB212 of one that is in the image all the same.
    if early(setup) or late(setup) or built_into_kernel(setup) or uncontested(setup):
        return
    # What remains are functions such as sound, which a guest can still get when it starts.
    graphics = any(one.class_code.startswith("03") for one in setup.board.passed) if setup.board else False
    partly = graphics and uncontested(setup, screens_only=True)
    derived = ", or leave out host.initramfs.modules to have them derived" * (setup.origin is Origin.SCENARIO)
    yield Problem(
        severity=Severity.WARNING if partly else Severity.ERROR,
        place=initramfs.modules_where,
        found=f"vfio_pci is not in {_list(tool)}",
        why="it is then not in the image, and the drivers of the host take the functions first; "
        "softdeps in modprobe.d do not bring it in",
        fix=f"add vfio_pci{derived}",
        edits=(add_after(initramfs.modules[-1], "vfio_pci"),) if initramfs.modules else (),
        source=_measured(tool, _BUILD),
    )


@rule("DB203", holds="every kernel; mkinitcpio, dracut and initramfs-tools", source=_ORDER)
def driver_first(setup: Setup) -> Iterator[Problem]:
    """A driver that wants a passed-through function is loaded before vfio_pci.

    Early modules are loaded in the order of the list, whatever the order of HOOKS. A GPU that its driver has started
    often cannot be handed over without a reset. Where a softdep of that driver loads vfio-pci before it, the order of
    the list does no harm.
    """
    known, board = _known(setup.host.initramfs), setup.board
    if known is None or board is None or setup.host.until_guest_starts:
        return
    initramfs, tool = known
    names = [canonical(module.value) for module in initramfs.modules]
    if "vfio_pci" not in names:
        return
    rivals = {
        canonical(driver): function for function in reversed(board.passed) for driver in function.drivers
    }
    for module in initramfs.modules[: names.index("vfio_pci")]:
        function = rivals.get(canonical(module.value))
        if function:
            held = vfio_first(setup, module.value)
            yield Problem(
                severity=Severity.NOTE if held else Severity.ERROR,
                place=module.place,
                found=f"{module.value} comes before vfio_pci in {_list(tool)}"
                + (
                    f"; a softdep keeps it from {function.address}"
                    if held
                    else f" and takes {function.address}"
                ),
                why=f"modules are loaded in the order of {_list(tool)}"
                + (", whatever the order of HOOKS" if initramfs.hooks else "")
                + (f"; the softdep of {module.value} loads vfio-pci before it" if held else "")
                + "; a GPU that its driver has started often cannot be handed over without a reset",
                fix=f"put vfio_pci before {module.value}",
                edits=(
                    remove(module),
                    add_after(initramfs.modules[names.index("vfio_pci")], module.value),
                ),
                source=_SOFTDEP if held else _measured(tool, _ORDER),
            )


@rule("DB204", holds="kernels whose configuration builds the driver in", source="the distribution's kernel")
def driver_built_in(setup: Setup) -> Iterator[Problem]:
    """A driver that wants a passed-through function is no module but part of the kernel.

    Neither `ids=` nor a softdep comes before a driver that needs no loading: it has the function before the initramfs
    is even unpacked.
    """
    board, kernel, distribution = setup.board, setup.host.kernel, setup.host.distribution
    if board is None or kernel is None or distribution is None:
        return
    fixed = built_in(distribution, kernel.value)
    for function in board.passed:
        for driver in function.drivers:
            if canonical(driver) in fixed:
                yield Problem(
                    severity=Severity.WARNING,
                    place=function.place,
                    found=f"{driver} is built into {distribution}'s kernel {kernel.value} and takes "
                    f"{function.address} before vfio-pci is loaded",
                    why="neither ids= nor a softdep comes before a driver that needs no loading",
                    fix=f"let libvirt (managed='yes') take {function.address} from {driver} when the guest "
                    "starts, or set its driver_override early in the initramfs and rebind it",
                    source=fixed[canonical(driver)],
                )


RULES: tuple[Rule, ...] = (module_gone, vfio_missing, driver_first, driver_built_in)
