"""Why something differs: what QEMU says of its machine types, and what is known of its releases and the firmware."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.facts import changes, device_types, machines
from pipeline.facts.changes import Change
from pipeline.facts.version import parts
from pipeline.fingerprint.model import Fingerprint
from pipeline.matrix.cell import Cell
from pipeline.matrix.defaults import Default
from pipeline.matrix.difference import Difference, Kind, Weight, group, owner

NOT_EXPLAINED = "not explained"

# Facts that tell one build of the firmware from another.
_FIRMWARE = re.compile(r"smbios/0(#[0-9]+)?/.*|firmware/(version|revision|vendor|release)")
# Drivers of every Q35 guest, whether or not its devices were listed.
_ON_EVERY_Q35 = ("mch", "ICH9-LPC", "q35-pcihost", device_types.PROCESSOR)
_ADDRESS = re.compile(r"(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One line, and where it is written; `text` is NOT_EXPLAINED, or begins so, where nothing explains it."""

    text: str
    source: str = ""

    @property
    def explains(self) -> bool:
        """Whether it says why."""
        return not self.text.startswith(NOT_EXPLAINED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """A difference with its explanation, and those it is made of with theirs."""

    difference: Difference
    explanation: Explanation
    details: tuple[Explained, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sides:
    """What is compared: two cells, the defaults that differ between their types (None: not known).

    `types` has the type of each device by its path, and by a PCI address those of the function and what is on it.
    `firmware` says whether the firmware is another one; `versions` are those of the two QEMU releases where their
    names are none.
    """

    before: Cell
    after: Cell
    defaults: tuple[Default, ...] | None = ()
    firmware: bool = False
    types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    versions: tuple[str, str] = ("", "")

    @property
    def releases(self) -> tuple[str, str]:
        """The versions of the two QEMU releases."""
        return self.versions[0] or self.before.qemu, self.versions[1] or self.after.qemu


def sides(
    before: tuple[Cell, Fingerprint],
    after: tuple[Cell, Fingerprint],
    defaults: tuple[Default, ...] | None,
    versions: tuple[str, str] = ("", ""),
) -> Sides:
    """The sides of a comparison, with what their fingerprints say of devices and firmware."""
    old, new = before[1], after[1]
    return Sides(
        before=before[0],
        after=after[0],
        defaults=defaults,
        firmware=_firmware(old) != _firmware(new),
        types={**types_of(old), **types_of(new)},
        versions=versions,
    )


def _firmware(fingerprint: Fingerprint) -> dict[str, str]:
    return {path: value for path, value in fingerprint.facts.items() if _FIRMWARE.fullmatch(path)}


def types_of(fingerprint: Fingerprint) -> dict[str, tuple[str, ...]]:
    """The type of each device by its path (`devices/00:1f.0`), and those of a function and what is on it by address."""
    found: dict[str, tuple[str, ...]] = {}
    for path, value in sorted(fingerprint.facts.items()):
        words = path.split("/")
        if words[0] != "devices" or owner(path, value) != path:
            continue
        found[path] = (value,)
        if _ADDRESS.fullmatch(words[1]):
            found[words[1]] = (*found.get(words[1], ()), value)
    return found


def explain(differences: Iterable[Difference], context: Sides) -> tuple[Explained, ...]:
    """Each difference with one line that says why, or the words that it is not explained."""
    return tuple(_explained(one, context) for one in differences)


def _explained(one: Difference, context: Sides) -> Explained:
    details = explain(one.details, context)
    found = _explanation(one, context)
    if not found.explains and details:
        # A device as a whole is explained where one reason explains all of it.
        reasons = {detail.explanation for detail in details}
        first = next(iter(reasons))
        if len(reasons) == 1 and first.explains:
            found = first
    return Explained(difference=one, explanation=found, details=details)


def _explanation(one: Difference, context: Sides) -> Explanation:
    for candidate in _candidates(one, context):
        return candidate
    return Explanation(text=_hint(one, context))


def _candidates(one: Difference, context: Sides) -> Iterator[Explanation]:
    yield from _by_property(one, context)
    for change in changes.changes():
        if change.fits(one.path):
            yield from _by_change(change, one, context)


def _by_property(one: Difference, context: Sides) -> Iterator[Explanation]:
    """A device's own property, whose default differs between the types."""
    if not one.path.startswith("devices/") or one.kind is not Kind.CHANGED:
        return
    for default in context.defaults or ():
        if one.path.rpartition("/")[2] == default.setting and default.concerns(_lineage(one.path, context)):
            yield Explanation(text=default.text(context.before, context.after), source=default.source)


def _by_change(change: Change, one: Difference, context: Sides) -> Iterator[Explanation]:
    if change.cause == "property":
        for default in context.defaults or ():
            if default.name == change.property and _may_be_of(default, one, context):
                text = f"{default.text(context.before, context.after)}: {_said(change, one, context)}"
                yield Explanation(text=text, source=f"{default.source}; {change.source}")
    elif _differs(change, context):
        yield Explanation(text=_said(change, one, context), source=change.source)


def _differs(change: Change, context: Sides) -> bool:
    """Whether what the change comes from is another on the two sides."""
    before, after = context.before, context.after
    match change.cause:
        case "firmware":
            return context.firmware
        case "machine":
            return _crossed(
                change.since, machines.version_of(before.machine), machines.version_of(after.machine)
            )
        case "release":
            return _crossed(change.since, *context.releases)
    return False


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


def _said(change: Change, one: Difference, context: Sides) -> str:
    text = change.text
    for name, value in (
        ("{before_machine}", context.before.machine),
        ("{after_machine}", context.after.machine),
        ("{before_qemu}", context.releases[0]),
        ("{after_qemu}", context.releases[1]),
        ("{path}", one.path),
    ):
        text = text.replace(name, value)
    return text


def _may_be_of(default: Default, one: Difference, context: Sides) -> bool:
    """Whether a fact may come from a driver's property: not where the fact is of a device of another type."""
    lineage = _lineage(one.path, context)
    return not lineage or default.concerns(lineage)


def _lineage(path: str, context: Sides) -> frozenset[str]:
    """The types of the device that a fact is of, and those above them; empty where it is of none that is known."""
    address = _ADDRESS.search(path)
    known = context.types.get(path) or context.types.get(group(path))
    if not known and address:
        known = context.types.get(address.group())
    return frozenset(one for name in known or () for one in device_types.lineage(name))


def _hint(one: Difference, context: Sides) -> str:
    """The words that it is not explained, with what differs of the same device, which may be the reason."""
    lineage = _lineage(one.path, context)
    near = [default for default in context.defaults or () if default.concerns(lineage)]
    if context.defaults is None:
        return f"{NOT_EXPLAINED} (neither QEMU tells what its machine types set)"
    if not near:
        return NOT_EXPLAINED
    names = ", ".join(default.name for default in near[:4])
    more = f" and {len(near) - 4} more" if len(near) > 4 else ""
    return f"{NOT_EXPLAINED} (of this device's properties differ: {names}{more})"


def unexplained(explained: Sequence[Explained]) -> tuple[Difference, ...]:
    """The differences, or parts of them, that nothing explains."""
    found: list[Difference] = []
    for one in explained:
        if one.explanation.explains:
            continue
        inner = unexplained(one.details)
        found += inner if one.details else (one.difference,)
        if one.details and not inner:
            found.append(one.difference)
    return tuple(found)


def default_differences(
    defaults: Iterable[Default], context: Sides, present: Iterable[str]
) -> tuple[Explained, ...]:
    """A line for each changed default: those of devices that the guest has, whether or not a fact shows them."""
    there = {*present, *_ON_EVERY_Q35}
    found = []
    for default in defaults:
        if not any(default.concerns(device_types.lineage(name)) for name in there):
            continue
        difference = Difference(
            path=f"defaults/{default.name}",
            before=default.before or "the driver's default",
            after=default.after or "the driver's default",
            kind=Kind.CHANGED,
            weight=Weight.HARMLESS,
            why="where the guest sees it, a fact differs too",
        )
        found.append(
            Explained(
                difference=difference,
                explanation=Explanation(
                    text=default.text(context.before, context.after), source=default.source
                ),
            )
        )
    return tuple(found)
