"""Which cells a matrix has: from the options of the task, the releases at hand and what is known of machine types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pipeline.errors import BadInput
from pipeline.facts import machines, table
from pipeline.facts.machines import Status
from pipeline.facts.version import parts
from pipeline.matrix.cell import Cell, Lane

_LANES = {"fast": (Lane.FAST,), "nested": (Lane.NESTED,), "both": (Lane.FAST, Lane.NESTED)}
_NUMBERS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_SHARD = re.compile(r"([0-9]{1,4})/([0-9]{1,4})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A QEMU release: what the store calls it, and its version, two numbers such as `11.1`.

    `machines` are the versioned Q35 types that it says it has, `deprecated` those of them that it calls so; where it
    was not asked, the facts say.
    """

    name: str
    version: str
    machines: tuple[str, ...] = ()
    deprecated: tuple[str, ...] = ()

    def status(self, machine: str) -> Status:
        """What the release does with `machine`; UNKNOWN where it is neither listed nor known."""
        known = machines.status(machine, qemu=self.version)
        if not self.machines or machines.version_of(machine) is None:
            return known
        if machine in self.machines:
            return Status.DEPRECATED if machine in self.deprecated else Status.SUPPORTED
        return known if known in {Status.REMOVED, Status.NOT_YET} else Status.UNKNOWN

    def available(self) -> tuple[str, ...]:
        """The versioned Q35 machine types that the release has."""
        return self.machines or machines.available(self.version)


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """A pair that is no cell: the release does not have the machine type, or (DEPRECATED) it was not asked for."""

    qemu: str
    machine: str
    status: Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The cells in the order of the table, oldest machine type first, and the pairs that are none.

    `own` is the machine type of the scenario.
    """

    own: str
    cells: tuple[Cell, ...]
    absent: tuple[Absent, ...] = ()

    @property
    def machines(self) -> tuple[str, ...]:
        """The machine types, oldest first: the rows of the table."""
        return in_order({one.machine for one in self._pairs})

    @property
    def qemus(self) -> tuple[str, ...]:
        """The releases in the order in which they were named: the columns of the table."""
        return tuple(dict.fromkeys(one.qemu for one in self._pairs))

    @property
    def _pairs(self) -> tuple[Cell | Absent, ...]:
        return *self.cells, *self.absent

    def shard(self, number: int, count: int) -> tuple[Cell, ...]:
        """Every `count`-th cell, from the `number`-th on (1-based): all shards together have each cell once."""
        return self.cells[number - 1 :: count]


def select(releases: Sequence[Release], *, own: str, machines: str = "all", lane: str = "fast") -> Selection:
    """The cells of every release and machine type that exist together; the scenario's `own` type is always one.

    `machines` is `all` (versioned types that one of the releases has), `supported` (those that are not deprecated) or a
    list of names and versions, `lane` is `fast`, `nested` or `both`. Raises BadInput with what would do.
    """
    if lane not in _LANES:
        raise BadInput(f"there is no lane {lane!r}", hint="--lane fast, nested or both")
    if not releases:
        raise BadInput("no QEMU release is named", hint="--qemu 10.0,11.1")
    supported = machines == "supported"
    if machines in {"all", "supported"}:
        names = [name for one in releases for name in one.available() if not supported or _new(one, name)]
    else:
        names = [_named(word, releases) for word in _words("--machines", machines)]
    cells: list[Cell] = []
    absent: list[Absent] = []
    for release in releases:
        if not _NAME.fullmatch(release.name):
            raise BadInput(f"{release.name!r} is no name of a QEMU release", hint="invoke qemu --list")
        for machine in in_order({*names, own}):
            status = release.status(machine)
            left_out = supported and status is Status.DEPRECATED and machine != own
            if left_out or not _there(machine, status):
                absent.append(Absent(qemu=release.name, machine=machine, status=status))
            else:
                cells += [Cell(qemu=release.name, machine=machine, lane=one) for one in _LANES[lane]]
    cells.sort(key=lambda cell: cell.lane is Lane.NESTED)
    return Selection(own=own, cells=tuple(cells), absent=tuple(absent))


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Machine types by board and version, oldest first; one without version is last, as it is the newest."""

    def key(name: str) -> tuple[bool, str, tuple[int, ...], str]:
        board, _, version = name.rpartition("-")
        numbers = parts(version) if _NUMBERS.fullmatch(version) else ()
        return not numbers, board, numbers, name

    return tuple(sorted(set(names), key=key))


def words_of_qemu(text: str) -> tuple[str, ...]:
    """`7.2,10.0` to its names, each once; raises BadInput where one is empty."""
    return tuple(dict.fromkeys(_words("--qemu", text)))


def check_machines(text: str) -> None:
    """Raises BadInput for what is neither a choice nor a list of known machine types."""
    if text not in {"all", "supported"}:
        for word in _words("--machines", text):
            _named(word, ())


def shard(text: str) -> tuple[int, int]:
    """`2/4` to (2, 4); raises BadInput for what is no part of a whole."""
    found = _SHARD.fullmatch(text)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise BadInput(f"cannot read --shard {text!r}", hint="--shard 2/4 is the second of four parts")
    return number, count


def _words(option: str, text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise BadInput(f"cannot read {option} {text!r}", hint="names with commas between them")
    return words


def _named(word: str, releases: Sequence[Release]) -> str:
    name = f"pc-q35-{word}" if _NUMBERS.fullmatch(word) else word
    known = {f"pc-q35-{version}" for version in table("machines")["q35"]["versions"]}
    known.update(*(release.machines for release in releases), {"q35"})
    if name not in known:
        close = get_close_matches(name, in_order(known), n=3)
        hint = f"is one of these meant: {', '.join(close)}?" if close else "such as 9.2 or pc-q35-9.2"
        raise BadInput(f"no QEMU release has a Q35 machine type {word!r}", hint=hint)
    return name


def _new(release: Release, machine: str) -> bool:
    return release.status(machine) is Status.SUPPORTED


def _there(machine: str, status: Status) -> bool:
    """Whether it is worth running; of what is no versioned Q35 type (`q35`, another board) only a run can tell."""
    if status is Status.UNKNOWN:
        return machines.version_of(machine) is None
    return status not in {Status.REMOVED, Status.NOT_YET}
