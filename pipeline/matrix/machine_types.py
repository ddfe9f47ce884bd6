"""The machine types of a QEMU release, as the release itself tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.facts import machines
from pipeline.facts.version import parts


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


def read(qemu: str, answer: Any, *, version: str = "") -> ReleaseTypes:
    """What `query-machines` answered (the value of `return`), with or without `compat-props`.

    Of two properties that are set twice, the later counts, as in QEMU (hw/core/qdev-properties.c, globals are set in
    order). Raises ValueError where it is no such answer.
    """
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        raise ValueError("this is no answer of query-machines")
    types = [_read_one(one) for one in answer]
    known = [one for one in types if machines.version_of(one.name)]
    ordered = tuple(sorted(known, key=lambda one: _age(one.name)))
    return ReleaseTypes(qemu=qemu, types=ordered, version=version)


def _read_one(value: Any) -> MachineType:
    try:
        compat = value.get("compat-props")
        return MachineType(
            name=value["name"],
            alias=value.get("alias", ""),
            deprecated=bool(value.get("deprecated", False)),
            compat=None
            if compat is None
            else {f"{one['qom-type']}.{one['property']}": str(one["value"]) for one in compat},
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"this is no machine type of query-machines: {value!r:.80}") from error


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


def newest_of(release: ReleaseTypes) -> MachineType | None:
    """Its newest versioned type."""
    return release.types[-1] if release.types else None


def _age(name: str) -> tuple[int, ...]:
    try:
        return parts(machines.version_of(name) or "0")
    except ValueError:
        return (0,)
