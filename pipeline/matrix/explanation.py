"""Why something differs: what QEMU says of its machine types, and what is known of its releases and the firmware."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.facts import device_types
from pipeline.matrix.defaults import Default
from pipeline.matrix.difference import Difference, Kind, Weight, group
from pipeline.matrix.gathering import MARKS
from pipeline.matrix.reason import CHIPSET, NOT_EXPLAINED, Explanation, reason
from pipeline.matrix.sides import Sides

_NOTHING = Explanation(text=NOT_EXPLAINED)
_FOLLOWS = Explanation(text="it follows from what else differs in the table", source="ACPI 6.5, 5.2.6")
# Drivers of every Q35 guest, whether or not its devices were listed.
_ON_EVERY_Q35 = (*CHIPSET, device_types.PROCESSOR)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """A difference with its explanation, and those it is made of with theirs."""

    difference: Difference
    explanation: Explanation
    details: tuple[Explained, ...] = ()


def explain(differences: Iterable[Difference], context: Sides) -> tuple[Explained, ...]:
    """Each difference with one line that says why, or the words that it is not explained."""
    return _of_tables(tuple(_explained(one, context) for one in differences))


def _explained(one: Difference, context: Sides) -> Explained:
    details = explain(one.details, context)
    found = _NOTHING if one.gathered else reason(one, context)
    if not found.explains and details:
        found = _of_parts(details, found)
    elif one.kind in {Kind.ADDED, Kind.REMOVED} and not one.gathered:
        # Why a device came is why its facts did.
        details = tuple(
            each if each.explanation.explains else replace(each, explanation=found) for each in details
        )
    return Explained(difference=_weighed(one, found, details), explanation=found, details=details)


def _weighed(one: Difference, found: Explanation, details: Sequence[Explained]) -> Difference:
    """What the lab did is harmless; a heading weighs what its heaviest part does."""
    if found.lab:
        return replace(one, weight=Weight.HARMLESS, why="the guest on its owner's machine does not see it")
    if one.gathered:
        worst = min((each.difference for each in details), key=lambda each: each.weight.rank)
        return replace(one, weight=worst.weight, why=worst.why)
    return one


def _of_parts(details: Sequence[Explained], otherwise: Explanation) -> Explanation:
    """One reason for all parts is that of the whole."""
    reasons = tuple(dict.fromkeys(one.explanation for one in details if not _is_mark(one)))
    dark = sum(not one.explanation.explains for one in details)
    if len(reasons) == 1:
        return reasons[0]
    if not dark:
        return Explanation(text=f"{len(reasons)} reasons, see its parts", source="its parts")
    if dark < len(details):
        return Explanation(text=f"{NOT_EXPLAINED} for {dark} of its {len(details)} parts")
    return otherwise


def _of_tables(found: tuple[Explained, ...]) -> tuple[Explained, ...]:
    """With the digest and the length of a table explained by what else differs in it, where all of that is."""
    others: dict[str, list[Explained]] = {}
    for one in found:
        if not _is_mark(one):
            others.setdefault(group(one.difference.path), []).append(one)
    return tuple(
        replace(one, explanation=_FOLLOWS)
        if _is_mark(one)
        and not one.explanation.explains
        and (beside := others.get(group(one.difference.path)))
        and all(each.explanation.explains for each in beside)
        else one
        for one in found
    )


def _is_mark(one: Explained) -> bool:
    path = one.difference.path
    return path.startswith("acpi/") and path.rpartition("/")[2] in MARKS


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
