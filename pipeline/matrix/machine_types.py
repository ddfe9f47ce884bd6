"""The Q35 machine types of a QEMU release, as the release itself tells them or the facts know them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from pipeline.facts import compat, machines, table


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineType:
    """`alias` is a name that stands for it, such as `q35`; `compat` its properties (driver.property to value).

    `compat` is None where the release does not tell it.
    """

    name: str
    alias: str = ""
    deprecated: bool = False
    compat: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseTypes:
    """The Q35 types of a QEMU release, oldest first.

    `qemu` is what the store calls the release, `version` two numbers such as `10.0`; the same where that is empty.
    """

    qemu: str
    types: tuple[MachineType, ...]
    version: str = ""

    @property
    def number(self) -> str:
        """Its version."""
        return self.version or self.qemu

    def has(self, machine: str) -> bool:
        """Whether it has a machine type of that name or alias."""
        return any(machine in {one.name, one.alias} for one in self.types)

    def stands_for(self, machine: str) -> str | None:
        """The machine type that a name or an alias means."""
        return next((one.name for one in self.types if machine in {one.name, one.alias}), None)

    def compat(self, machine: str) -> Mapping[str, str] | None:
        """The compat properties of a type, None where they are not known."""
        return next((one.compat for one in self.types if one.name == machine), None)


class Told(Protocol):
    """A machine type as a release's own list has it."""

    @property
    def name(self) -> str:
        """Such as `pc-q35-9.2`."""
        ...

    @property
    def alias(self) -> str:
        """The unversioned name that means it, else empty."""
        ...

    @property
    def deprecated(self) -> bool:
        """Whether the release calls it so."""
        ...

    @property
    def compat(self) -> Mapping[str, str] | None:
        """Its compat properties, None where the release does not tell them."""
        ...


def of(qemu: str, types: Iterable[Told], *, version: str = "") -> ReleaseTypes:
    """The versioned Q35 types of a release that was asked for them."""
    known = [
        MachineType(name=one.name, alias=one.alias, deprecated=one.deprecated, compat=one.compat)
        for one in types
        if machines.version_of(one.name)
    ]
    oldest_first = sorted(known, key=lambda one: machines.order(one.name))
    return ReleaseTypes(qemu=qemu, types=tuple(oldest_first), version=version)


def by_facts(qemu: str, *, version: str = "") -> ReleaseTypes:
    """The types that a release has by the rule of deprecation, for a release that could not be asked."""
    number = version or qemu
    names = machines.available(number)
    return ReleaseTypes(
        qemu=qemu,
        version=version,
        types=tuple(
            MachineType(
                name=name,
                alias="q35" if name == names[-1] else "",
                deprecated=machines.status(name, qemu=number) is machines.Status.DEPRECATED,
            )
            for name in names
        ),
    )


@cache
def known_types() -> ReleaseTypes:
    """Every Q35 type with its compat properties, as the facts have them: of no release in particular."""
    names = (f"pc-q35-{version}" for version in table("machines")["q35"]["versions"])
    return ReleaseTypes(
        qemu="", types=tuple(MachineType(name=name, compat=compat.properties(name)) for name in names)
    )
