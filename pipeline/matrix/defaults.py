"""Which default properties differ between two machine types, by what QEMU says of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.facts import compat, machines
from pipeline.facts.version import order
from pipeline.matrix.cell import Cell
from pipeline.matrix.machine_types import ReleaseTypes

TOLD_BY = "query-machines with compat-props, QEMU {qemu}"
_TRUTH = {"on": "on", "true": "on", "yes": "on", "off": "off", "false": "off", "no": "off"}


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Default:
    """A property (`setting`) of a driver that two machine types set differently.

    None is the driver's own default. `source` says which QEMU told it.
    """

    driver: str
    setting: str
    before: str | None
    after: str | None
    source: str

    @property
    def name(self) -> str:
        """`driver.property`."""
        return f"{self.driver}.{self.setting}"

    def text(self, before: Cell, after: Cell) -> str:
        """Which machine type keeps what."""
        if self.after is None:
            return f"{before.machine} keeps {self.name}={self.before}, {after.machine} has its new default"
        if self.before is None:
            return f"{after.machine} keeps {self.name}={self.after}, {before.machine} has its new default"
        return f"{before.machine} has {self.name}={self.before}, {after.machine} has {self.after}"

    def concerns(self, lineage: Iterable[str]) -> bool:
        """Whether a device of these types has the property; its driver is the type of the device or one above it."""
        return self.driver in lineage


def changed(before: Cell, after: Cell, releases: Mapping[str, ReleaseTypes]) -> tuple[Default, ...] | None:
    """The properties that differ between the machine types of two cells, sorted.

    They are those that one of the two sets and the other does not, or sets otherwise, asked of the newest release that
    knows both. Where none does (a type was removed), the older type's list of the release that still has it is put
    over that of the newest type which both have. Where no release at hand tells, the facts do. None for types that they
    do not know.
    """
    if before.machine == after.machine:
        return ()
    old, new = sorted((before.machine, after.machine), key=machines.order)
    for release in _newest_first(releases):
        lists = release.compat(old), release.compat(new)
        if lists[0] is not None and lists[1] is not None:
            return _between(lists[0], lists[1], before.machine == old, TOLD_BY.format(qemu=release.qemu))
    for release in _newest_first(releases):
        for elder in _newest_first(releases):
            recent, own, base = release.compat(new), elder.compat(old), _bridge(elder, release)
            if recent is not None and own is not None and base is not None:
                source = TOLD_BY.format(qemu=f"{elder.qemu} and {release.qemu}")
                return _between({**base, **own}, recent, before.machine == old, source)
    kept = compat.properties(old), compat.properties(new)
    if kept[0] is None or kept[1] is None:
        return None
    return _between(kept[0], kept[1], before.machine == old, compat.source())


def _bridge(elder: ReleaseTypes, release: ReleaseTypes) -> Mapping[str, str] | None:
    """What `release` says of the newest type of `elder` of which it tells."""
    told = (release.compat(one.name) for one in reversed(elder.types))
    return next((one for one in told if one is not None), None)


def _between(
    old: Mapping[str, str], new: Mapping[str, str], forwards: bool, source: str
) -> tuple[Default, ...]:
    found = []
    for name in sorted({*old, *new}):
        driver, _, setting = name.rpartition(".")
        one, other = old.get(name), new.get(name)
        if _same(one, other):
            continue
        before, after = (one, other) if forwards else (other, one)
        found.append(Default(driver=driver, setting=setting, before=before, after=after, source=source))
    return tuple(found)


def _same(one: str | None, other: str | None) -> bool:
    return one == other or (one in _TRUTH and other in _TRUTH and _TRUTH[one] == _TRUTH[other])


def _newest_first(releases: Mapping[str, ReleaseTypes]) -> list[ReleaseTypes]:
    return sorted(releases.values(), key=lambda one: order(one.number), reverse=True)
