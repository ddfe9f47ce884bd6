"""The answer of a matrix: which machine type is safe for the scenario, and what will become of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pipeline.facts import machines
from pipeline.facts.machines import Status
from pipeline.facts.version import order, parts
from pipeline.matrix.cell import Lane
from pipeline.matrix.machine_types import ReleaseTypes
from pipeline.matrix.result import CellResult, Ended

_HELP = "qemu-system-x86_64 -machine help, query-machines"
# QEMU 8.0 is of April 2023; since then there were an x.0 in April, an x.1 in August and an x.2 in December.
_CALENDAR = "https://www.qemu.org/download/ (8.0 of April 2023, three releases a year since)"
_MONTHS = {0: "April", 1: "August", 2: "December"}
_YEAR_OF_MAJOR = 2015
_LAST_MAJOR = 99
_LEFT_OUT = "left out"
_UNPINNED = ("q35", "pc")


class State(Enum):
    """What the cells of a machine type say together."""

    SAFE = "safe"
    """Every check held in every lane that was run, on every QEMU of the matrix that has the type."""
    FAILS = "fails"
    UNKNOWN = "not known"
    """A cell of it was not run, or the lab failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A machine type's cells together: `why` what speaks against it.

    `fast` and `nested` are the QEMU releases on which it was run in these lanes, `partial` those on which the lab had
    to leave something of it out.
    """

    machine: str
    state: State
    fast: tuple[str, ...]
    nested: tuple[str, ...]
    why: str = ""
    partial: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A sentence and where it is from."""

    text: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """`safe` is the newest machine type that is safe, `everywhere` the newest that each QEMU of the matrix has too.

    None where there is none. `own` is the scenario's. `statements` say what becomes of it, in order of weight.
    """

    own: str
    safe: str | None
    everywhere: str | None
    verdicts: tuple[Verdict, ...]
    proof: str
    statements: tuple[Statement, ...]

    def verdict(self, machine: str) -> Verdict | None:
        """That of a machine type."""
        return next((one for one in self.verdicts if one.machine == machine), None)


def answer(own: str, results: Sequence[CellResult], releases: Mapping[str, ReleaseTypes]) -> Answer:
    """The answer to a matrix of cells, for a scenario with the machine type `own`.

    `releases` has the types of each QEMU of the matrix by its name.
    """
    verdicts = tuple(_verdicts(results, releases))
    safe = [one for one in verdicts if one.state is State.SAFE and one.machine not in _UNPINNED]
    common = [one for one in safe if all(release.has(one.machine) for release in releases.values())]
    newest = safe[-1] if safe else None
    return Answer(
        own=own,
        safe=newest.machine if newest else None,
        everywhere=common[-1].machine if common else None,
        verdicts=verdicts,
        proof=_proof(newest) if newest else "",
        statements=(
            *_own(own, verdicts, newest),
            *_removed(own, releases),
            *_future(own, releases),
            *_unpinned(own, releases, newest),
            *_history(verdicts, releases, own),
        ),
    )


def deprecation(machine: str, *, since: str = "1.0") -> tuple[str | None, str | None]:
    """The releases in which a machine type becomes deprecated and is removed by QEMU's policy, from `since` on.

    None for what has no version or is so already.
    """
    found: dict[Status, str] = {}
    for release in _releases():
        status = machines.status(machine, qemu=release)
        if parts(release) > parts(since):
            found.setdefault(status, release)
        elif status in {Status.DEPRECATED, Status.REMOVED}:
            found[status] = ""
    return found.get(Status.DEPRECATED) or None, found.get(Status.REMOVED) or None


def month(release: str) -> str:
    """When a release is to be expected: `12.2` to `December 2027`."""
    major, minor = parts(release)
    return f"{_MONTHS[minor]} {_YEAR_OF_MAJOR + major}"


def _releases() -> Iterator[str]:
    for major in range(8, _LAST_MAJOR + 1):
        for minor in _MONTHS:
            yield f"{major}.{minor}"


def _verdicts(results: Sequence[CellResult], releases: Mapping[str, ReleaseTypes]) -> Iterator[Verdict]:
    by_machine: dict[str, list[CellResult]] = {}
    for result in results:
        by_machine.setdefault(result.cell.machine, []).append(result)
    for machine in sorted(by_machine, key=machines.order):
        cells = by_machine[machine]
        state, why = _state(cells, [name for name, one in releases.items() if one.has(machine)])
        yield Verdict(
            machine=machine,
            state=state,
            fast=tuple(one.cell.qemu for one in cells if one.cell.lane is Lane.FAST),
            nested=tuple(one.cell.qemu for one in cells if one.cell.lane is Lane.NESTED),
            why=why,
            partial=tuple(dict.fromkeys(one.cell.qemu for one in cells if _is_partial(one))),
        )


def _is_partial(result: CellResult) -> bool:
    """Whether a check of it held only as far as the lab can go: QEMU before 10.1 cannot imitate a function."""
    return any(check.observed.startswith(_LEFT_OUT) for check in result.checks)


def _state(cells: Sequence[CellResult], having: Sequence[str]) -> tuple[State, str]:
    for one in cells:
        if one.ended is Ended.FAILED or (
            one.ended is Ended.HELD and not all(check.held for check in one.checks)
        ):
            names = ", ".join(check.name for check in one.checks if not check.held) or "a check"
            return State.FAILS, f"on QEMU {one.cell.qemu}, {one.cell.lane.value} lane, failed: {names}"
    for one in cells:
        if one.ended is Ended.LAB_FAULT:
            return State.UNKNOWN, f"on QEMU {one.cell.qemu}, {one.cell.lane.value} lane, the lab failed"
        if not one.checks:
            return State.UNKNOWN, f"on QEMU {one.cell.qemu}, {one.cell.lane.value} lane, nothing was checked"
    for qemu in having:
        if not any(one.cell.qemu == qemu for one in cells):
            return State.UNKNOWN, f"QEMU {qemu} has it, and it was not run there"
    return State.SAFE, ""


def _proof(verdict: Verdict) -> str:
    said = []
    if verdict.nested:
        said.append(f"proved in the nested lane, with vfio-pci, on QEMU {', '.join(verdict.nested)}")
    only = [qemu for qemu in verdict.fast if qemu not in verdict.nested]
    if only:
        said.append(
            f"only screened in the fast lane, where vfio-pci has no part, on QEMU {', '.join(only)}: "
            "--lane nested proves it"
        )
    missing = [qemu for qemu in only if qemu in verdict.partial]
    if missing:
        said.append(
            f"on QEMU {', '.join(missing)} without the assigned functions, which the lab had to leave out"
        )
    return "; ".join(said)


def _own(own: str, verdicts: Sequence[Verdict], newest: Verdict | None) -> Iterator[Statement]:
    mine = next((one for one in verdicts if one.machine == own), None)
    if mine is None:
        yield Statement(text=f"{own}, which the scenario has, was not run", source="this matrix")
    elif mine.state is State.SAFE:
        more = f"; the newest that is safe is {newest.machine}" if newest and newest.machine != own else ""
        yield Statement(text=f"{own}, which the scenario has, is safe{more}", source="this matrix")
    else:
        yield Statement(
            text=f"{own}, which the scenario has: {mine.state.value}: {mine.why}", source="this matrix"
        )


def _removed(own: str, releases: Mapping[str, ReleaseTypes]) -> Iterator[Statement]:
    for name, release in releases.items():
        if own in _UNPINNED or release.has(own):
            continue
        if machines.status(own, qemu=release.number) is Status.REMOVED:
            yield Statement(text=f"QEMU {name} no longer has {own}", source=_HELP)
        else:
            yield Statement(text=f"QEMU {name} does not have {own}", source=_HELP)


def _future(own: str, releases: Mapping[str, ReleaseTypes]) -> Iterator[Statement]:
    """What the policy does to the scenario's machine type after the newest QEMU of the matrix."""
    newest = max((one.number for one in releases.values()), key=order, default=machines.newest_qemu())
    now = machines.status(own, qemu=newest) if order(newest) != (0,) else Status.UNKNOWN
    if now in {Status.UNKNOWN, Status.REMOVED}:
        return
    deprecated, removed = deprecation(own, since=newest)
    source = f"{machines.policy_source()}; months: {_CALENDAR}"
    if now is Status.DEPRECATED:
        yield Statement(text=f"QEMU {newest} calls {own} deprecated", source=machines.policy_source())
    elif deprecated:
        yield Statement(
            text=f"by QEMU's policy {own} is deprecated from QEMU {deprecated} on (about {month(deprecated)})",
            source=source,
        )
    if removed:
        yield Statement(
            text=f"by QEMU's policy QEMU {removed} (about {month(removed)}) no longer has {own}",
            source=source,
        )


def _unpinned(own: str, releases: Mapping[str, ReleaseTypes], newest: Verdict | None) -> Iterator[Statement]:
    alias = own if own in _UNPINNED else "q35"
    meanings = {name: meant for name, one in releases.items() if (meant := one.stands_for(alias))}
    if not meanings:
        return
    said = ", ".join(f"{meant} on QEMU {name}" for name, meant in meanings.items())
    text = f"{alias} without a version is {said}"
    if len({*meanings.values()}) > 1:
        text += ": the guest's machine changes with an update of QEMU"
    if own in _UNPINNED:
        text += f"; name the version{f', such as {newest.machine}' if newest else ''}"
    yield Statement(text=text, source=_HELP)


def _history(
    verdicts: Iterable[Verdict], releases: Mapping[str, ReleaseTypes], own: str
) -> Iterator[Statement]:
    """What is known of types that a QEMU of the matrix has, or that the newest one has lost."""
    seen = {own, *(one.machine for one in verdicts)}
    for release in releases.values():
        seen.update(one.name for one in release.types)
    for machine in sorted(seen, key=machines.order):
        note = machines.note(machine)
        if note is None:
            continue
        gone = [
            name
            for name, one in releases.items()
            if not one.has(machine) and machines.status(machine, qemu=one.number) is Status.REMOVED
        ]
        lost = f"gone in QEMU {', '.join(gone)}; " if gone else ""
        yield Statement(text=f"{machine}: {lost}{note.text}", source=note.source)
