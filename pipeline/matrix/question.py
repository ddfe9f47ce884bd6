"""What a matrix asks: kept beside its results, so that the results of shards can be put together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from pipeline.errors import BadInput
from pipeline.matrix.cell import Cell
from pipeline.matrix.journal import Journal, put
from pipeline.matrix.machine_types import ReleaseTypes
from pipeline.matrix.result import CellResult, Ended
from pipeline.matrix.selection import Selection

VERSION = 1
FILE = "matrix.json"
CELLS = "cells"


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """The whole matrix, not only a shard of it.

    `scenario` is its name, `asked` a digest of its text and settings, `dryboot` of the program. `needs` has the
    digests of what the cells run on, `keys` the job's key by the cell's name, `releases` the machine types of each QEMU
    by its name.
    """

    scenario: str
    asked: str
    dryboot: str
    selection: Selection
    releases: Mapping[str, ReleaseTypes]
    needs: Mapping[str, str]
    keys: Mapping[str, str]
    version: int = VERSION


_QUESTION = TypeAdapter(Question)
# What two shards have in common, and what to say where they do not.
_COMMON = {
    "asked": "another scenario or other settings",
    "dryboot": "another Dryboot",
    "selection": "another choice of --qemu, --machines or --lane",
    "needs": "another QEMU",
    "keys": "other options",
}


def asked(text: str, settings: Sequence[str]) -> str:
    """A digest of a scenario's text with its settings."""
    return hashlib.sha256("\0".join((text, *settings)).encode("utf-8", "surrogateescape")).hexdigest()


def write(folder: Path, question: Question) -> None:
    """Keep it in a matrix' directory, whole or not at all; raises LabFault where that cannot be."""
    put(folder / FILE, _QUESTION.dump_json(question, indent=1) + b"\n")


def merged(folders: Sequence[Path]) -> tuple[Question, tuple[CellResult, ...]]:
    """The question of several shards and the results of all, each cell once, in the order of the matrix.

    A cell that no shard has ended is a lab fault. Raises BadInput where one is no shard, or they ask different things.
    """
    questions = [_read(folder) for folder in folders]
    first = questions[0]
    for folder, one in zip(folders, questions, strict=True):
        for name, difference in _COMMON.items():
            if getattr(one, name) != getattr(first, name):
                raise BadInput(
                    f"{folder} is of another matrix than {folders[0]}: {difference}",
                    hint="run every shard with the same options and the same runner's image",
                )
    return first, tuple(_found(first, cell, folders) for cell in first.selection.cells)


def _found(question: Question, cell: Cell, folders: Sequence[Path]) -> CellResult:
    read = (Journal(folder / CELLS).read(question.keys[cell.name], cell.name) for folder in folders)
    results = [one for one in read if one]
    ended = [one for one in results if one.ended is not Ended.LAB_FAULT] or results
    if ended:
        return ended[0]
    return CellResult(cell=cell, ended=Ended.LAB_FAULT, fault="none of the shards has brought its result")


def _read(folder: Path) -> Question:
    hint = "--merge takes directories that matrix --shard has written with --output"
    try:
        question = _QUESTION.validate_json((folder / FILE).read_bytes())
    except OSError as error:
        raise BadInput(f"{folder} has no {FILE}: {error.strerror}", hint=hint) from error
    except ValueError as error:
        raise BadInput(f"{folder / FILE} is damaged, or of another version", hint=hint) from error
    if question.version != VERSION:
        raise BadInput(f"{folder / FILE} is of version {question.version}, not {VERSION}", hint=hint)
    return question
