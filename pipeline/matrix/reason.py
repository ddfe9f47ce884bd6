"""The reason of one difference, in QEMU's own words where there are any, else by what is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.facts import changes, compat, machines
from pipeline.facts.changes import Change
from pipeline.facts.device_types import PROCESSOR
from pipeline.facts.version import order, parts
from pipeline.matrix.cell import Cell
from pipeline.matrix.defaults import TOLD_BY, Default
from pipeline.matrix.difference import Difference, Kind
from pipeline.matrix.machine_types import ReleaseTypes, by_facts, known_types
from pipeline.matrix.sides import Sides

NOT_EXPLAINED = "not explained"
_MOST_NAMED = 4
CHIPSET = ("mch", "ICH9-LPC", "q35-pcihost")
_OF_DEVICES = ("pci/", "interrupts/", "devices/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One line, and where it is written; `text` is NOT_EXPLAINED, or begins so, where nothing explains it.

    `lab` says that it is the lab's doing, which the guest on its owner's machine does not see.
    """

    text: str
    source: str = ""
    lab: bool = False

    @property
    def explains(self) -> bool:
        """Whether it says why."""
        return not self.text.startswith(NOT_EXPLAINED)


def reason(one: Difference, context: Sides) -> Explanation:
    """Why it differs: the first of QEMU's compat properties, then the facts, that fits."""
    return next(_candidates(one, context), Explanation(text=_hint(one, context)))


def _candidates(one: Difference, context: Sides) -> Iterator[Explanation]:
    if one.path.startswith(("devices/", "cpuid/")) and one.kind is Kind.CHANGED:
        yield from _by_default(one, context)
    if one.path.startswith("devices/"):
        yield from _by_types(one, context)
    for change in changes.changes():
        if change.fits(one.path) and (not change.kind or change.kind == _forwards(change, one, context)):
            yield from _by_change(change, one, context)


def _forwards(change: Change, one: Difference, context: Sides) -> str:
    """What happened to the fact from the older side to the newer one."""
    turned = {Kind.ADDED: Kind.REMOVED, Kind.REMOVED: Kind.ADDED}
    before, after = _versions(change, context)
    backwards = order(after or "") < order(before or "")
    return (turned.get(one.kind, one.kind) if backwards else one.kind).value


def _by_default(one: Difference, context: Sides) -> Iterator[Explanation]:
    """A property of a device or a processor, whose default is another in the other type."""
    of_processor = one.path.startswith("cpuid/")
    for default in context.defaults or ():
        if _setting(one) == default.setting and (
            default.driver.endswith(PROCESSOR)
            if of_processor
            else default.concerns(context.lineage(one.path))
        ):
            yield Explanation(text=default.text(context.before, context.after), source=default.source)


def _by_types(one: Difference, context: Sides) -> Iterator[Explanation]:
    """A property that a release has got, or lost, together with the machine types that set it."""
    if one.kind not in {Kind.ADDED, Kind.REMOVED}:
        return
    there, other = (
        (context.after, context.before) if one.kind is Kind.ADDED else (context.before, context.after)
    )
    if there.qemu == other.qemu:
        return
    has, lacks = _release(there, context), _release(other, context)
    newer = order(has.number) > order(lacks.number)
    for release, source in _told(has) if newer else _told(*context.releases.values()):
        found = _newest_setting(release, _setting(one), context.lineage(one.path))
        if found is None:
            continue
        machine, name = found
        if newer:
            text = f"QEMU {has.qemu} has got {name}, which {machine} and older set"
            yield Explanation(text=text, source=source)
        elif not lacks.has(machine):
            text = f"only {machine} and older set {name}: QEMU {lacks.qemu} has lost it together with these types"
            yield Explanation(text=text, source=source)


def _release(cell: Cell, context: Sides) -> ReleaseTypes:
    """The machine types of a cell's QEMU, by the rule where it is not at hand."""
    known = context.releases.get(cell.qemu)
    if known is not None:
        return known
    return by_facts(cell.qemu) if order(cell.qemu) != (0,) else ReleaseTypes(qemu=cell.qemu, types=())


def _told(*releases: ReleaseTypes) -> Iterator[tuple[ReleaseTypes, str]]:
    """What is known of compat properties, with its source: of these releases, and of all by the facts."""
    for release in releases:
        yield release, TOLD_BY.format(qemu=release.qemu)
    yield known_types(), compat.source()


def _newest_setting(release: ReleaseTypes, setting: str, lineage: frozenset[str]) -> tuple[str, str] | None:
    for machine in reversed(release.types):
        for name in machine.compat or ():
            driver, _, prop = name.rpartition(".")
            if prop == setting and driver in lineage:
                return machine.name, name
    return None


def _setting(one: Difference) -> str:
    return one.path.rpartition("/")[2]


def _by_change(change: Change, one: Difference, context: Sides) -> Iterator[Explanation]:
    if change.cause == "property":
        for default in context.defaults or ():
            if default.name == change.property and _may_be_of(default, one, context):
                text = f"{default.text(context.before, context.after)}: {_said(change, context)}"
                yield Explanation(text=text, source=f"{default.source}; {change.source}")
    elif _differs(change, context):
        yield Explanation(text=_said(change, context), source=change.source, lab=change.cause == "lab")


def _may_be_of(default: Default, one: Difference, context: Sides) -> bool:
    """Whether a fact may come from a driver's property: not where it is of a device of another type.

    What the chipset is set to changes devices too.
    """
    lineage = context.around(one.path)
    if not lineage or default.driver in CHIPSET or not one.path.startswith(_OF_DEVICES):
        return True
    return default.concerns(lineage)


def _differs(change: Change, context: Sides) -> bool:
    """Whether what the change comes from is another on the two sides."""
    if change.cause == "firmware":
        return context.firmware
    if change.cause == "lab":
        return context.lab
    return _crossed(change.since, *_versions(change, context))


def _versions(change: Change, context: Sides) -> tuple[str | None, str | None]:
    """Those of the machine types, or of the releases, by what the change comes with."""
    if change.cause == "release":
        return context.version(context.before), context.version(context.after)
    return machines.version_of(context.before.machine), machines.version_of(context.after.machine)


def _crossed(since: str, before: str | None, after: str | None) -> bool:
    """Whether just one of two versions is `since` or later; without it, whether they differ."""
    if before == after:
        return False
    if not since:
        return True
    try:
        return (parts(before or "") >= parts(since)) is not (parts(after or "") >= parts(since))
    except ValueError:
        return False


def _said(change: Change, context: Sides) -> str:
    text = change.text
    for name, value in (
        ("{before_machine}", context.before.machine),
        ("{after_machine}", context.after.machine),
        ("{before_qemu}", context.version(context.before)),
        ("{after_qemu}", context.version(context.after)),
    ):
        text = text.replace(name, value)
    return text


def _hint(one: Difference, context: Sides) -> str:
    """The words that it is not explained, with what else differs of the same device, which may be the reason."""
    if context.defaults is None:
        return f"{NOT_EXPLAINED} (no QEMU at hand tells what these machine types set)"
    lineage = context.lineage(one.path)
    near = [default.name for default in context.defaults if default.concerns(lineage)]
    if not near:
        return NOT_EXPLAINED
    more = f" and {len(near) - _MOST_NAMED} more" if len(near) > _MOST_NAMED else ""
    return f"{NOT_EXPLAINED} (of this device's properties differ: {', '.join(near[:_MOST_NAMED])}{more})"
