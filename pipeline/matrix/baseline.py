"""Baselines: what a cell gave the guest when its owner accepted it, kept with the scenario for later runs."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import BadInput, Place
from pipeline.facts import machines
from pipeline.fingerprint.model import Fingerprint
from pipeline.fingerprint.model import read as read_fingerprint
from pipeline.matrix.cell import Cell, Lane
from pipeline.matrix.result import CellResult, Ended

VERSION = 1
_LIMIT = 4 << 20
_AGAIN = "accept it again: invoke matrix --accept"
_NAME = re.compile(
    r"(?P<lane>fast|nested)-(?P<qemu>[^/]+)-(?P<machine>pc-(?:q35|i440fx)-[0-9.]+|q35|pc)\.json"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """An accepted cell: its fingerprint, its checks (name to whether it held) and its machine type's compat properties.

    `compat` is None where that QEMU does not tell them.
    """

    cell: Cell
    checks: Mapping[str, bool]
    fingerprint: Fingerprint
    compat: Mapping[str, str] | None = None

    def text(self) -> str:
        """The same bytes for the same content: JSON, one fact a line, sorted."""
        value = {
            "baseline": VERSION,
            "qemu": self.cell.qemu,
            "machine": self.cell.machine,
            "lane": self.cell.lane.value,
            "checks": {name: "held" if held else "failed" for name, held in sorted(self.checks.items())},
            "compat": None if self.compat is None else dict(sorted(self.compat.items())),
            "fingerprint": json.loads(self.fingerprint.text()),
        }
        return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def of(result: CellResult) -> Baseline | None:
    """The baseline that a result makes; None for one without a fingerprint, such as a lab fault."""
    if result.fingerprint is None or result.ended is Ended.LAB_FAULT:
        return None
    return Baseline(
        cell=result.cell,
        checks={check.name: check.held for check in result.checks},
        fingerprint=result.fingerprint,
        compat=result.compat,
    )


def folder(scenario: Path) -> Path:
    """Where the baselines of a scenario are: in baselines/NAME beside its file.

    A shipped one has them in scenarios/baselines/NAME of the checkout, which is beside it as well.
    """
    return scenario.parent / "baselines" / scenario.stem


def file_of(cell: Cell) -> str:
    """The name of a cell's file."""
    return f"{cell.name}.json"


def read(path: Path, *, shown: str = "") -> Baseline:
    """The baseline in a file; raises BadInput with the line where that is known."""
    name = shown or str(path)
    try:
        data = path.read_bytes()[: _LIMIT + 1]
    except OSError as error:
        raise BadInput(f"cannot read the baseline: {error.strerror}", place=Place(file=name)) from error
    if len(data) > _LIMIT:
        raise BadInput(f"a baseline has at most {_LIMIT >> 20} MiB", place=Place(file=name), hint=_AGAIN)
    try:
        return loads(data.decode("utf-8"), file=name)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput("not UTF-8 text", place=Place(file=name, line=line), hint=_AGAIN) from error


def loads(text: str, *, file: str) -> Baseline:
    """The baseline that `text` holds; raises BadInput for anything else."""
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        place = Place(file=file, line=error.lineno, column=error.colno)
        raise BadInput(f"not JSON: {error.msg}", place=place, hint=_AGAIN) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(text, file, "", str(error) or type(error).__name__) from error
    if not isinstance(value, dict) or value.get("baseline") != VERSION:
        raise _damaged(text, file, "baseline", f"this is no baseline of version {VERSION}")
    checks = value.get("checks")
    if not isinstance(checks, dict) or not all(held in {"held", "failed"} for held in checks.values()):
        raise _damaged(text, file, "checks", "'checks' has to say of each that it held or failed")
    compat = value.get("compat")
    if compat is not None and not _is_texts(compat):
        raise _damaged(text, file, "compat", "'compat' has to be a table of texts, or null")
    try:
        fingerprint = read_fingerprint(json.dumps(value.get("fingerprint")))
    except ValueError as error:
        raise _damaged(text, file, "fingerprint", str(error)) from error
    return Baseline(
        cell=_cell(value, text, file),
        checks={name: held == "held" for name, held in checks.items()},
        fingerprint=fingerprint,
        compat=compat,
    )


def read_all(where: Path, *, shown: str = "") -> tuple[Baseline, ...]:
    """The baselines in a folder, by name of file; none where there is no such folder. Raises BadInput."""
    try:
        names = sorted(path.name for path in where.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise BadInput(f"cannot read {shown or where}: {error.strerror}") from error
    found = []
    for name in names:
        if not _NAME.fullmatch(name):
            continue
        one = read(where / name, shown=f"{shown or where}/{name}")
        if file_of(one.cell) != name:
            raise BadInput(
                f"it says that it is of {one.cell.name}",
                place=Place(file=f"{shown or where}/{name}"),
                hint="a baseline's file has the name of its cell; do not copy one, accept the cell",
            )
        found.append(one)
    return tuple(found)


def write(where: Path, baselines: Iterable[Baseline]) -> tuple[str, ...]:
    """Write each to its file in the folder, whole or not at all; the names of those that changed.

    What has the same content stays as it is. Files of other cells are left alone. Raises BadInput where a file cannot
    be written; those before it are written then.
    """
    changed = []
    try:
        where.mkdir(parents=True, exist_ok=True)
        for one in sorted(baselines, key=lambda each: each.cell):
            path = where / file_of(one.cell)
            data = one.text().encode("utf-8", "backslashreplace")
            if _content(path) != data:
                _replace(path, data)
                changed.append(path.name)
    except OSError as error:
        raise BadInput(
            f"cannot write the baselines in {where}: {error.strerror or error}",
            hint="--accept keeps them beside the scenario; copy it to where you may write",
        ) from error
    return tuple(changed)


def reference(cell: Cell, baselines: Sequence[Baseline], against: str = "") -> Baseline | None:
    """The baseline that a cell is compared with: its own, or by `against` (QEMU or QEMU/TYPE) that of another.

    `10.0` is the same type on 10.0, and where 10.0 had no such type, the newest older one; `10.0/pc-q35-9.2` just
    that. One of the same lane goes first. None where there is none. Raises BadInput where `against` names a release or
    a type that has no baseline at all.
    """
    if not against:
        return next((one for one in baselines if one.cell == cell), None)
    qemu, _, machine = against.partition("/")
    there = [one for one in baselines if one.cell.qemu == qemu and machine in {"", one.cell.machine}]
    if not there:
        names = ", ".join(sorted({f"{one.cell.qemu}/{one.cell.machine}" for one in baselines})) or "none"
        raise BadInput(
            f"there is no baseline of {against}", place=Place(file="--against"), hint=f"there are: {names}"
        )
    there.sort(key=lambda one: (one.cell.lane is not cell.lane, one.cell.lane.value))
    if machine:
        return there[0]
    same = [one for one in there if one.cell.machine == cell.machine]
    older = [one for one in there if machines.order(one.cell.machine) < machines.order(cell.machine)]
    if same or not older:
        return same[0] if same else None
    lane = older[0].cell.lane
    return max(
        (one for one in older if one.cell.lane is lane), key=lambda one: machines.order(one.cell.machine)
    )


def _cell(value: Mapping[str, Any], text: str, file: str) -> Cell:
    for name in ("qemu", "machine", "lane"):
        if not isinstance(value.get(name), str) or not value[name] or "/" in value[name]:
            raise _damaged(text, file, name, f"{name!r} is missing or no text")
    try:
        lane = Lane(value["lane"])
    except ValueError as error:
        raise _damaged(text, file, "lane", f"{value['lane']!r} is no lane") from error
    return Cell(qemu=value["qemu"], machine=value["machine"], lane=lane)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return found


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _damaged(text: str, file: str, key: str, message: str) -> BadInput:
    lines = text.splitlines()
    line = next((number for number, one in enumerate(lines, 1) if f'"{key}"' in one), 1)
    return BadInput(message, place=Place(file=file, line=line), hint=_AGAIN)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, data: bytes) -> None:
    if path.is_dir():
        raise OSError(errno.EISDIR, f"{path.name} is a directory")
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(number, 0o666 & ~mask)
            os.fsync(number)
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
