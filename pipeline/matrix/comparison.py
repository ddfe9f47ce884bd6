"""A cell against its baseline, and the machine types of one QEMU release against those of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from pipeline.facts import machines
from pipeline.fingerprint.model import Fingerprint
from pipeline.matrix import assigned
from pipeline.matrix import baseline as baselines
from pipeline.matrix.baseline import Baseline
from pipeline.matrix.cell import Cell
from pipeline.matrix.contrast import check_differences, compare
from pipeline.matrix.difference import Weight
from pipeline.matrix.explanation import Explained, default_differences, explain, unexplained
from pipeline.matrix.machine_types import MachineType, ReleaseTypes
from pipeline.matrix.result import CellResult, Ended
from pipeline.matrix.sides import sides


class State(Enum):
    """A cell against its baseline."""

    SAME = "same"
    HARMLESS = "changed and harmless"
    NOTICEABLE = "changed, the guest notices"
    BREAKS = "changed and breaks"
    GONE = "machine type gone"
    NEW = "new, no baseline"
    UNKNOWN = "not known"


# What the guest's firmware, SMBIOS and ACPI call themselves.
_VERSIONS = {
    "BIOS": "smbios/0/version",
    "BIOS date": "smbios/0/date",
    "SMBIOS": "smbios/entry point",
    "SMBIOS system version": "smbios/1/version",
    "ACPI revision": "acpi/FACP/revision",
    "ACPI OEM": "acpi/FACP/OEM",
    "ACPI creator": "acpi/FACP/creator",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A version that the guest is told, on both sides, whether it differs or not; None where it is not known."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """`explained` has the differences, worst section first as they are sorted; `defaults` the changed defaults.

    `before` is what the cell was compared with, None where there was no baseline. `left_out` is what could not be
    compared: path or section to the reason.
    """

    cell: Cell
    before: Cell | None
    state: State
    explained: tuple[Explained, ...] = ()
    defaults: tuple[Explained, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[Version, ...] = ()

    @property
    def unexplained(self) -> int:
        """How many differences nothing explains."""
        return len(unexplained(self.explained))


@dataclass(frozen=True, kw_only=True, slots=True)
class TypesComparison:
    """Which machine types `after` has lost, has new, and has come to call deprecated, each oldest first.

    `sources` says where each name is from, with why.
    """

    before: str
    after: str
    removed: tuple[str, ...]
    added: tuple[str, ...]
    deprecated: tuple[str, ...]
    alias_before: str | None
    alias_after: str | None
    source: str


def against(result: CellResult, before: Baseline | None, releases: Mapping[str, ReleaseTypes]) -> Comparison:
    """A cell compared with a baseline. `releases` has the machine types of QEMU releases by name."""
    if result.ended is Ended.LAB_FAULT:
        return Comparison(cell=result.cell, before=before.cell if before else None, state=State.UNKNOWN)
    if before is None:
        return Comparison(cell=result.cell, before=None, state=State.NEW)
    old, new = before.fingerprint, result.fingerprint or Fingerprint(facts={})
    versions = [_version(cell, releases) for cell in (before.cell, result.cell)]
    old, new = assigned.without(old, new, versions[0]), assigned.without(new, old, versions[1])
    context = sides((before.cell, old), (result.cell, new), releases)
    found = compare(old, new) if result.fingerprint else None
    checks = check_differences(before.checks, result.checks)
    explained = explain((*checks, *(found.differences if found else ())), context)
    present = {name for names in context.types.values() for name in names}
    return Comparison(
        cell=result.cell,
        before=before.cell,
        state=_state(explained, result),
        explained=explained,
        defaults=default_differences(context.defaults or (), context, present),
        left_out=found.left_out if found else {"": "the cell gave no fingerprint"},
        versions=tuple(
            Version(name=name, before=old.facts.get(path), after=new.facts.get(path))
            for name, path in _VERSIONS.items()
            if path in old.facts or path in new.facts
        ),
    )


def _version(cell: Cell, releases: Mapping[str, ReleaseTypes]) -> str:
    return releases[cell.qemu].number if cell.qemu in releases else cell.qemu


def compare_all(
    results: Sequence[CellResult],
    kept: Sequence[Baseline],
    releases: Mapping[str, ReleaseTypes],
    *,
    reference: str = "",
) -> tuple[Comparison, ...]:
    """Every cell against its baseline, or against that of the release `reference` (QEMU or QEMU/TYPE).

    Baselines of that release whose type a release of the matrix no longer has come last. Raises BadInput where
    `reference` has no baseline.
    """
    known = with_baselines(releases, kept)
    found = [against(result, baselines.reference(result.cell, kept, reference), known) for result in results]
    for name in dict.fromkeys(result.cell.qemu for result in results):
        for one in kept:
            qemu = reference.partition("/")[0] or name
            target = Cell(qemu=name, machine=one.cell.machine, lane=one.cell.lane)
            release = releases.get(name)
            if (
                one.cell.qemu == qemu
                and release is not None
                and not release.has(target.machine)
                and machines.status(target.machine, qemu=release.number) is machines.Status.REMOVED
            ):
                found.append(Comparison(cell=target, before=one.cell, state=State.GONE))
    return tuple(found)


def with_baselines(releases: Mapping[str, ReleaseTypes], kept: Iterable[Baseline]) -> dict[str, ReleaseTypes]:
    """The releases, with those that only baselines tell of: their compat properties were kept."""
    found = dict(releases)
    told: dict[str, list[MachineType]] = {}
    for one in kept:
        if one.cell.qemu not in releases and one.compat is not None:
            told.setdefault(one.cell.qemu, []).append(MachineType(name=one.cell.machine, compat=one.compat))
    for name, types in told.items():
        found[name] = ReleaseTypes(qemu=name, types=tuple(types))
    return found


def compare_types(before: ReleaseTypes, after: ReleaseTypes) -> TypesComparison:
    """The Q35 machine types of two releases."""
    old = {one.name: one for one in before.types}
    new = {one.name: one for one in after.types}
    return TypesComparison(
        before=before.qemu,
        after=after.qemu,
        removed=tuple(name for name in old if name not in new),
        added=tuple(name for name in new if name not in old),
        deprecated=tuple(
            name for name, one in new.items() if one.deprecated and name in old and not old[name].deprecated
        ),
        alias_before=before.stands_for("q35"),
        alias_after=after.stands_for("q35"),
        source=f"query-machines of both; the rule: {machines.policy_source()}",
    )


def _state(explained: Sequence[Explained], result: CellResult) -> State:
    worst = min((one.difference.weight for one in explained), key=lambda weight: weight.rank, default=None)
    if worst is Weight.BREAKS:
        return State.BREAKS
    if result.fingerprint is None:
        # It failed without giving any facts, and failed so before: nothing can be said of the guest.
        return State.UNKNOWN if worst is None else State.BREAKS
    if worst is None:
        return State.SAME
    return State.HARMLESS if worst is Weight.HARMLESS else State.NOTICEABLE
