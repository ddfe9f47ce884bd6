"""DB209, DB210, DB410, DB415: the picture that the firmware left on a card, and who drives it."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.facts.parameters import framebuffers, picture_released, picture_source
from pipeline.lint.command_line import given, has
from pipeline.lint.edit import add_after, remove, replace
from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.setup import Setup
from pipeline.setup.model import Function

_DISPLAY, _VGA = "03", "0300"
_VIDEO = "kernel Documentation/fb/modedb.rst; drivers/video/fbdev/core/fb_cmdline.c fb_get_options()"


def _graphics(setup: Setup) -> tuple[Function, ...]:
    functions = setup.board.functions if setup.board else ()
    return tuple(one for one in functions if one.class_code.startswith(_DISPLAY))


@rule(
    "DB209",
    holds="kernels before 6.0",
    source=f'{picture_source()}; drivers/pci/pci.c "can\'t reserve"',
)
def picture_in_the_way(setup: Setup) -> Iterator[Problem]:
    """The only card of the machine is passed through, and the firmware's picture is still on it.

    Before kernel 6.0 nothing takes the picture from the card when vfio-pci gets it: efifb keeps part of a BAR, the host
    says "BAR 3: can't reserve" and the guest stays dark. From 6.0 on vfio-pci removes the driver of the picture itself.
    """
    kernel, line, graphics = setup.host.kernel, setup.host.command_line, _graphics(setup)
    if kernel is None or line is None or setup.host.until_guest_starts or picture_released(kernel.value):
        return
    if not graphics or not all(one.passed and one.class_code.startswith(_VGA) for one in graphics):
        return
    enough = [one.parameter for one in framebuffers() if one.reliable(kernel.value)]
    if has(setup, *enough):
        return
    best = enough[0]
    yield Problem(
        severity=Severity.WARNING,
        place=line.where,
        found=f"{graphics[0].address} shows the firmware's picture, and kernel {kernel.value} leaves it there",
        why='its driver keeps part of a BAR: the host says "can\'t reserve" and the guest stays dark',
        fix=f"add {best}; the host has no picture from then on",
        edits=(add_after(line.parameters[-1], best),) if line.parameters else (),
    )


@rule("DB210", holds="kernels from 6.0 on", source=picture_source())
def picture_parameter_idle(setup: Setup) -> Iterator[Problem]:
    """A parameter against the firmware's picture is no longer needed.

    From 6.0 on vfio-pci takes the picture from a VGA card itself. `video=efifb:off` moreover does not reach simpledrm,
    which drives the picture in many kernels since 5.14; `initcall_blacklist=sysfb_init` does, but leaves the host
    without any picture until the driver of its own card is loaded.
    """
    kernel, board = setup.host.kernel, setup.board
    if kernel is None or board is None or not picture_released(kernel.value):
        return
    cards = [one for one in board.passed if one.class_code.startswith(_DISPLAY)]
    if not cards or not all(one.class_code.startswith(_VGA) for one in cards):
        return
    for known in framebuffers():
        for written, _ in given(setup, known.parameter.partition("=")[0]):
            if written.value == known.parameter:
                reach = "" if known.reliable(kernel.value) else ", and simpledrm does not read it"
                yield Problem(
                    severity=Severity.NOTE,
                    place=written.place,
                    found=f"{written.value} is not needed with kernel {kernel.value}",
                    why=f"vfio-pci takes the firmware's picture from the card itself since 6.0{reach}",
                    fix=f"remove {written.value}",
                    edits=(remove(written),),
                    source=f"{picture_source()}; {known.source}",
                )


@rule(
    "DB410",
    holds="every kernel with kernel modesetting",
    source="kernel Documentation/admin-guide/kernel-parameters.txt nomodeset",
)
def no_modesetting(setup: Setup) -> Iterator[Problem]:
    """`nomodeset` also keeps the driver from the host's own graphics.

    It is no setting of passthrough: no DRM driver of the kernel loads with it, so the host's own card shows what the
    firmware left there, without acceleration and without a second screen.
    """
    drm = {"amdgpu", "radeon", "nouveau", "i915", "xe"}
    own = [one for one in _graphics(setup) if not one.passed and drm.intersection(one.drivers)]
    for written, value in given(setup, "nomodeset"):
        if own and not value:
            yield Problem(
                severity=Severity.NOTE,
                place=written.place,
                found=f"nomodeset keeps {own[0].drivers[0]} from {own[0].address}, the host's own graphics",
                why="vfio-pci has the guest's card without it",
                fix="remove nomodeset",
                edits=(remove(written),),
            )


@rule("DB415", holds="every kernel", source=_VIDEO)
def second_driver_unread(setup: Setup) -> Iterator[Problem]:
    """One video= names two drivers, and the kernel reads the first.

    What follows `video=efifb:` are options of efifb: in `video=efifb:off,vesafb:off` the second is one that efifb does
    not know. Each driver needs a `video=` of its own.
    """
    names = ("efifb", "vesafb", "simplefb")
    for written, value in given(setup, "video"):
        first, *others = value.split(",")
        if first.partition(":")[0] not in names:
            continue
        unread = [one for one in others if one.partition(":")[0] in names]
        if unread:
            whole = " ".join(f"video={one}" for one in (first, *others))
            yield Problem(
                severity=Severity.NOTE,
                place=written.place,
                found=f"{', '.join(unread)} in {written.value} is not read",
                why=f"the kernel takes it for an option of {first.partition(':')[0]}",
                fix=f"write {whole}",
                edits=(replace(written, whole),) if len(unread) == len(others) else (),
            )


RULES: tuple[Rule, ...] = (picture_in_the_way, picture_parameter_idle, no_modesetting, second_driver_unread)
