"""DB1xx: the ids by which vfio-pci takes functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pipeline.facts import pci_ids
from pipeline.facts.kernels import canonical
from pipeline.lint.edit import add_after, remove, replace
from pipeline.lint.finding import Severity
from pipeline.lint.rule import Problem, Rule, rule
from pipeline.pci import Address, IdPair
from pipeline.plan.model import Written
from pipeline.setup import Setup
from pipeline.setup.model import Board, Function, Origin

_MATCH = "kernel drivers/pci/pci-driver.c pci_match_device(), drivers/vfio/pci/vfio_pci.c vfio_pci_fill_ids()"
_WIKI = "ArchWiki PCI passthrough via OVMF"
_EVERY = "every kernel with vfio-pci"
_FIELD = re.compile(r"(?:0x)?[0-9a-f]{1,8}")
_ANY = 0xFFFFFFFF


def written_ids(setup: Setup) -> tuple[Written[str], ...]:
    """The ids of modprobe.d and those on the kernel command line, in lower case."""
    host = setup.host
    found = list(host.modprobe.vfio_ids) if host.modprobe else []
    for parameter in host.command_line.parameters if host.command_line else ():
        name, _, value = parameter.value.partition("=")
        if name.replace("_", "-") == "vfio-pci.ids":
            found += [Written(value=one, place=parameter.place) for one in value.split(",")]
    return tuple(Written(value=one.value.lower(), place=one.place) for one in found if one.value)


def _fields(written: str) -> tuple[int, ...]:
    """The numbers of an entry of ids=, in lower case; empty where it is malformed."""
    texts = written.split(":")
    if not 2 <= len(texts) <= 6 or not all(_FIELD.fullmatch(text) for text in texts):
        return ()
    fields = tuple(int(text, 16) for text in texts)
    return fields if all(one == _ANY or one <= 0xFFFF for one in fields[:4]) else ()


def well_formed(written: str) -> bool:
    """Whether an entry of ids=, in lower case, is vendor:device[:subvendor[:subdevice[:class[:mask]]]]."""
    return bool(_fields(written))


def takes(written: str, function: Function, *, in_doubt: bool = True) -> bool:
    """Whether an entry of ids=, in lower case, is one by which vfio-pci takes the function.

    `in_doubt` is the answer where the entry names a subsystem and that of the function is not known.
    """
    fields = _fields(written)
    if not fields:
        return False
    wanted = (*fields, *(_ANY, _ANY, _ANY, _ANY, 0, 0)[len(fields) :])
    own = [function.ids.vendor, function.ids.device]
    if function.subsystem:
        own += [function.subsystem.vendor, function.subsystem.device]
    elif not in_doubt and wanted[2:4] != (_ANY, _ANY):
        return False
    if any(one not in {_ANY, there} for one, there in zip(wanted[:4], own, strict=False)):
        return False
    code = int(function.class_code.ljust(6, "0"), 16)
    return not (wanted[4] ^ code) & wanted[5]


def _meant(board: Board, written: str) -> Function | None:
    """The passed function whose subsystem id was written in place of its own."""
    if any(str(function.ids) == written for function in board.functions):
        return None
    return next((one for one in board.passed if str(one.subsystem) == written), None)


@rule("DB101", holds=_EVERY, source=_MATCH)
def subsystem_id(setup: Setup) -> Iterator[Problem]:
    """The id is a subsystem id.

    `lspci -nn` shows two pairs of ids for a card: vendor:device at the end of the function's own line, and the
    subsystem, which names the maker of the card, in the line below. vfio-pci compares `ids=` with vendor:device (a
    subsystem can only follow as third and fourth field), so with the subsystem in their place it takes nothing.
    """
    board = setup.board
    for written in written_ids(setup) if board else ():
        assert board is not None
        function = _meant(board, written.value)
        if function:
            yield Problem(
                severity=Severity.ERROR,
                place=written.place,
                found=f"{written.value} is the subsystem id of {function.address}; "
                f"vfio-pci needs {function.ids}",
                why="ids= of vfio-pci is compared with vendor:device; the subsystem names the maker of the "
                f"card, so vfio-pci does not take {function.address}",
                fix=f"write {function.ids}: in `lspci -nn` it stands at the end of the function's own line, "
                "the subsystem in the line below",
                edits=(replace(written, str(function.ids)),),
            )


@rule("DB102", holds=_EVERY, source=_MATCH)
def unknown_id(setup: Setup) -> Iterator[Problem]:
    """No function of the machine has the id.

    vfio-pci then waits for a device that is not there: nearly always a digit was mistyped, or the card was changed.
    """
    board = setup.board
    if board is None:
        return
    bridges = _bridges(board)
    for written in written_ids(setup):
        own = any(takes(written.value, function) for function in board.functions)
        known = own or written.value in bridges or _meant(board, written.value)
        if well_formed(written.value) and not known:
            passed = ", ".join(f"{one.address} {one.ids}" for one in board.passed)
            yield Problem(
                severity=Severity.WARNING,
                place=written.place,
                found=f"no function of the board has the id {written.value}",
                why="vfio-pci waits for a device that is not there; usually an id was mistyped"
                + _named(written.value),
                fix=f"passed through are {passed}" if passed else "compare with `lspci -nn`",
            )


def _named(written: str) -> str:
    """What the system's pci.ids knows of a pair of ids, as the end of a sentence."""
    try:
        name = pci_ids.device(IdPair.parse(written[:9]))
    except ValueError:
        return ""
    return f" ({written[:9]} is a {name})" if name else ""


@rule("DB103", holds=_EVERY, source=f"{_WIKI}, Using identical guest and host GPUs; {_MATCH}")
def id_of_another(setup: Setup) -> Iterator[Problem]:
    """The id is also that of a function that the host keeps.

    `ids=` cannot tell two devices of one model apart: vfio-pci takes every one of them. Of two identical cards one can
    only be taken by its address, by `driver_override` before any driver sees it.
    """
    board = setup.board
    seen: set[str] = set()
    for written in written_ids(setup) if board else ():
        assert board is not None
        staying = [
            one for one in board.functions if not one.passed and takes(written.value, one, in_doubt=False)
        ]
        twins = [one for one in board.passed if takes(written.value, one)]
        if not staying or written.value in seen:
            continue
        seen.add(written.value)
        names = ", ".join(str(one.address) for one in staying)
        why = "ids= takes every device with that vendor and device id, so the host loses it"
        fix = f"take {written.value} out of the ids"
        if twins:
            passed = ", ".join(str(one.address) for one in twins)
            why = (
                f"{passed} and {names} look the same to ids=; vfio-pci takes both and the host loses {names}"
            )
            fix = (
                f"leave the ids to be derived: driver_override of {passed} is then set in the initramfs"
                if setup.origin is Origin.SCENARIO
                else f"take {written.value} out of the ids and set driver_override of {passed} in the initramfs"
            )
        yield Problem(
            severity=Severity.ERROR,
            place=written.place,
            found=f"{written.value} is also the id of {names}, which the host keeps",
            why=why,
            fix=fix,
            edits=(remove(written),) if not twins and _is_foreign(setup, staying) else (),
        )


def _is_foreign(setup: Setup, staying: Sequence[Function]) -> bool:
    """Whether it is sure that the ids are wrong about functions, not what says that they stay with the host.

    A function of a card that is passed through may have been left out there. On a machine, where the domain says what
    is passed through, the domain may be the wrong one unless both agree on something.
    """
    assert setup.board is not None
    passed = setup.board.passed
    if {one.address.slot for one in staying} & {one.address.slot for one in passed}:
        return False
    ids = written_ids(setup)
    agreed = any(takes(written.value, one) for written in ids for one in passed)
    return agreed or setup.origin is Origin.SCENARIO


@rule("DB104", holds=_EVERY, source=_MATCH)
def id_missing(setup: Setup) -> Iterator[Problem]:
    """A function is passed through, but its id is not in the list.

    Its usual driver takes it at boot. A guest can still get it by `managed='yes'`, but a GPU that its driver has
    started often does not come back, and sound that the host has open holds up the start of the guest.
    """
    board, modprobe = setup.board, setup.host.modprobe
    if board is None or modprobe is None or setup.host.until_guest_starts:
        return
    if (
        any(canonical(install.value) == "vfio_pci" for install in modprobe.installs)
        and not setup.host.overrides
    ):
        return  # a command loads vfio-pci, and what it does is not known
    # DB107 speaks of a list that does not count, DB108 of ids that a blank took out of the list.
    ids = (
        *written_ids(setup),
        *(
            Written(value=text.lower(), place=option.place)
            for option in modprobe.options
            if canonical(option.module) == "vfio_pci"
            for text in (option.value.split(",") if option.key == "ids" else [option.key])
        ),
    )
    mistaken = {_meant(board, written.value) for written in ids}
    for function in board.passed:
        taken = any(takes(written.value, function) for written in ids)
        if taken or function in mistaken or function.address in setup.host.overrides:
            continue
        derived = ", or leave out host.vfio.ids to have them derived" * (setup.origin is Origin.SCENARIO)
        yield Problem(
            severity=Severity.ERROR,
            place=modprobe.ids_where,
            found=f"{function.ids} of {function.address} is missing from the ids of vfio-pci",
            why="vfio-pci does not take the function at boot"
            + (f"; {function.drivers[0]} does" if function.drivers else ""),
            fix=f"add {function.ids}{derived}",
            edits=(add_after(modprobe.vfio_ids[-1], str(function.ids)),)
            if modprobe.vfio_ids and _is_meant(setup, function, ids)
            else (),
        )


def _is_meant(setup: Setup, function: Function, ids: Iterable[Written[str]]) -> bool:
    """Whether it is sure that a function is to be passed through, not only that a domain names it.

    A domain with a wrong address names a device that the host needs, such as its disk. It is sure of a card of which
    the ids have another function.
    """
    assert setup.board is not None
    card = [one for one in setup.board.functions if one.address.slot == function.address.slot]
    listed = any(takes(written.value, one) for written in ids for one in card)
    return listed or setup.origin is Origin.SCENARIO


def _bridges(board: Board) -> dict[str, Address]:
    """The bridges of the board by their ids, as far as both are known."""
    bridges = board.topology.bridges if board.topology else ()
    return {str(bridge.ids): bridge.address for bridge in bridges if bridge.ids}


@rule(
    "DB117",
    holds=_EVERY,
    source="kernel drivers/vfio/pci/vfio_pci_core.c vfio_pci_core_register_device(): hdr_type",
)
def id_of_bridge(setup: Setup) -> Iterator[Problem]:
    """The id is that of a bridge or port.

    A bridge in the group of a card is never passed through: vfio-pci refuses it with error -22, and the driver of the
    port does not stand in the way of the guest.
    """
    board = setup.board
    bridges = _bridges(board) if board else {}
    for written in written_ids(setup):
        address = bridges.get(written.value)
        if address:
            yield Problem(
                severity=Severity.NOTE,
                place=written.place,
                found=f"{written.value} is the id of the bridge {address}",
                why="vfio-pci refuses bridges, and pcieport, which has it, does not stand in the way",
                fix=f"take {written.value} out of the ids",
                edits=(remove(written),),
            )


RULES: tuple[Rule, ...] = (subsystem_id, unknown_id, id_of_another, id_missing, id_of_bridge)
