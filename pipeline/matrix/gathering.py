"""Differences that belong together become one: a table of code, the same difference of several devices."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.matrix.difference import Difference, Kind, group, ordered

# A DSDT has a few hundred objects.
_CODE = re.compile(r"acpi/[DS]SDT[^/]*")
# Facts that stand for all of a table.
MARKS = ("digest", "length")
_OF_DEVICES = {"pci", "interrupts", "devices"}


def gather(found: Iterable[Difference]) -> tuple[Difference, ...]:
    """The differences in order, with a heading for those that belong together."""
    together: dict[tuple[object, ...], list[Difference]] = {}
    for one in found:
        together.setdefault(_key(one), []).append(one)
    return ordered(one for each in together.values() for one in _headed(ordered(each)))


def _key(one: Difference) -> tuple[object, ...]:
    """The same for what belongs together."""
    table = group(one.path)
    if _CODE.fullmatch(table) and one.path != table:
        return (table,)
    section = one.path.split("/")[0]
    if section in _OF_DEVICES and not one.details and one.path != table:
        return section, _fact(one), one.kind, one.before, one.after, one.weight
    return one.path, one.kind


def _fact(one: Difference) -> str:
    """What of a device it is."""
    return one.path.removeprefix(group(one.path)).lstrip("/")


def _headed(found: tuple[Difference, ...]) -> tuple[Difference, ...]:
    if len(found) < 2:
        return found
    first, table = found[0], group(found[0].path)
    worst = min(found, key=lambda one: one.weight.rank)
    if not _CODE.fullmatch(table):
        path = f"{first.path.split('/')[0]}/*/{_fact(first)}"
        return (_heading(path, first.before, first.after, first.kind, worst, found),)
    mark = next((one for one in found if one.path.removeprefix(f"{table}/") in MARKS), None)
    before, after = (mark.before, mark.after) if mark else (None, f"{len(found)} facts differ")
    return (_heading(table, before, after, Kind.CHANGED, worst, found),)


def _heading(
    path: str,
    before: str | None,
    after: str | None,
    kind: Kind,
    worst: Difference,
    found: tuple[Difference, ...],
) -> Difference:
    return Difference(
        path=path,
        before=before,
        after=after,
        kind=kind,
        weight=worst.weight,
        why=worst.why,
        details=found,
        gathered=True,
    )
