"""What differs between two fingerprints, device by device and fact by fact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.facts import changes
from pipeline.fingerprint.model import Fingerprint
from pipeline.matrix.difference import Difference, Kind, Weight, group, natural, ordered, owner
from pipeline.matrix.gathering import gather
from pipeline.matrix.result import CellCheck

CHECKS = "checks"
_PCI = "pci"
# What a PCI function is, wherever it sits.
_IDENTITY = ("ids", "subsystem", "class")
# Sections whose facts are by the address of a PCI function.
_BY_ADDRESS = (_PCI, "interrupts", "devices")


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """All differences in a stable order, and what could not be compared: path or section to the reason."""

    differences: tuple[Difference, ...]
    left_out: Mapping[str, str]

    @property
    def weight(self) -> Weight | None:
        """The worst, None where nothing differs."""
        return min((one.weight for one in self.differences), key=lambda weight: weight.rank, default=None)


def compare(before: Fingerprint, after: Fingerprint) -> Compared:
    """What differs; a device that is only on one side, or has moved, is one difference."""
    old = _comparable(before, after)
    new = _comparable(after, before)
    found: list[Difference] = []
    for was, now in dict(_moved(old, new)).items():
        found.append(_move(was, now, _take(old, was), _take(new, now)))
    swapped = _swapped(old, new)
    groups_before, groups_after = _groups(old), _groups(new)
    for name in {**groups_before, **groups_after}:
        mine, other = groups_before.get(name, {}), groups_after.get(name, {})
        if not mine or not other or name in swapped:
            found += [_whole(name, mine, Kind.REMOVED)] if mine else []
            found += [_whole(name, other, Kind.ADDED)] if other else []
        else:
            found += _facts(mine, other)
    left_out = dict(sorted({**before.left_out, **after.left_out}.items()))
    return Compared(differences=gather(found), left_out=left_out)


def check_differences(before: Mapping[str, bool], after: Sequence[CellCheck]) -> tuple[Difference, ...]:
    """The checks that held before and fail now, and the other way round."""
    found = []
    for check in after:
        held = before.get(check.name)
        if held is None or held is check.held:
            continue
        found.append(
            Difference(
                path=f"{CHECKS}/{check.name}",
                before="held" if held else "failed",
                after=f"held: {check.observed}" if check.held else f"failed: {check.observed}",
                kind=Kind.CHANGED,
                weight=Weight.HARMLESS if check.held else Weight.BREAKS,
                why="the check holds again" if check.held else "a check that held before fails",
            )
        )
    return ordered(found)


def _comparable(mine: Fingerprint, other: Fingerprint) -> dict[str, str]:
    """The facts of one side, without what the other could not take."""
    return {
        path: value
        for path, value in mine.facts.items()
        if path in other.facts or not _covered(path, other.left_out)
    }


def _covered(path: str, left_out: Mapping[str, str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:length]) in left_out for length in range(1, len(parts) + 1))


def _groups(facts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for path, value in facts.items():
        found.setdefault(owner(path, value), {})[path] = value
    return found


def _identity(facts: Mapping[str, str], name: str) -> tuple[str | None, ...] | None:
    identity = tuple(facts.get(f"{name}/{part}") for part in _IDENTITY)
    return identity if identity[0] is not None else None


def _functions(facts: Mapping[str, str]) -> list[str]:
    return sorted(
        {name for name in map(group, facts) if name.startswith(f"{_PCI}/") and _identity(facts, name)},
        key=lambda path: (natural(path), path),
    )


def _moved(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """PCI functions that are at another address after than before: told by what they are, in order of address."""
    stayed = {
        name
        for name in _functions(old)
        if _identity(new, name) is not None and _identity(old, name) == _identity(new, name)
    }
    arrived: dict[tuple[str | None, ...] | None, list[str]] = {}
    for name in _functions(new):
        if name not in stayed:
            arrived.setdefault(_identity(new, name), []).append(name)
    for name in _functions(old):
        same = arrived.get(_identity(old, name))
        if name not in stayed and same:
            yield name, same.pop(0)


def _swapped(old: Mapping[str, str], new: Mapping[str, str]) -> set[str]:
    """Addresses where another function is than before."""
    return {
        name
        for name in _functions(old)
        if _identity(new, name) is not None and _identity(old, name) != _identity(new, name)
    }


def _take(facts: dict[str, str], name: str) -> dict[str, str]:
    """The facts of a function, in every section that has some by its address; they are taken out of `facts`."""
    places = [f"{section}/{name.partition('/')[2]}" for section in _BY_ADDRESS]
    taken = [path for path in facts if any(_below(path, place) for place in places)]
    return {path: facts.pop(path) for path in taken}


def _below(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def _move(was: str, now: str, old: Mapping[str, str], new: Mapping[str, str]) -> Difference:
    before, after = was.partition("/")[2], now.partition("/")[2]
    here = {}
    for path, value in old.items():
        section, _, rest = path.partition("/")
        here[f"{section}/{after}{rest.removeprefix(before)}"] = value
    weight, why = _weigh(now)
    return Difference(
        path=was,
        before=before,
        after=after,
        kind=Kind.MOVED,
        weight=weight,
        why=why,
        details=ordered(_facts(here, new)),
    )


def _whole(name: str, facts: Mapping[str, str], kind: Kind) -> Difference:
    details = ordered(_fact(path, value, kind) for path, value in facts.items())
    if [one.path for one in details] == [name]:
        return details[0]
    summary = _summary(name, facts)
    worst = min(details, key=lambda one: one.weight.rank)
    return Difference(
        path=name,
        before=summary if kind is Kind.REMOVED else None,
        after=summary if kind is Kind.ADDED else None,
        kind=kind,
        weight=worst.weight,
        why=worst.why,
        details=details,
    )


def _summary(name: str, facts: Mapping[str, str]) -> str:
    for part in (*_IDENTITY, "type", "driver"):
        if f"{name}/{part}" in facts:
            return facts[f"{name}/{part}"]
    return f"{len(facts)} facts"


def _facts(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for path in {**old, **new}:
        if path not in new:
            yield _fact(path, old[path], Kind.REMOVED)
        elif path not in old:
            yield _fact(path, new[path], Kind.ADDED)
        elif old[path] != new[path]:
            yield replace(_fact(path, new[path], Kind.CHANGED), before=old[path])


def _fact(path: str, value: str, kind: Kind) -> Difference:
    weight, why = _weigh(path)
    return Difference(
        path=path,
        before=value if kind is Kind.REMOVED else None,
        after=None if kind is Kind.REMOVED else value,
        kind=kind,
        weight=weight,
        why=why,
    )


def _weigh(path: str) -> tuple[Weight, str]:
    known = changes.weight(path)
    return (Weight(known.weight), known.why) if known else (Weight.NOTICEABLE, "the guest can see it")
