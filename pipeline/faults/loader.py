"""Fault files to faults; every error carries file, line and column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap

from pipeline.errors import BadInput, Place
from pipeline.faults.model import Fault
from pipeline.scenario.document import parse, plain, read_text
from pipeline.scenario.loader import SHIPPED
from pipeline.scenario.refusal import refusal
from pipeline.scenario.source import Source

CATALOGUE = SHIPPED / "faults"
_KEYS = "the keys are in docs/faults.md"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedFault:
    """A fault with the places of everything written in its file."""

    fault: Fault
    source: Source


def names() -> tuple[str, ...]:
    """The faults of the catalogue."""
    return tuple(sorted(path.stem for path in CATALOGUE.glob("*.yaml")))


def read_all(only: Iterable[str] = ()) -> tuple[LoadedFault, ...]:
    """The faults of the catalogue, or those named. Raises BadInput where one is not there or not readable."""
    there, wanted = names(), tuple(only)
    for name in wanted:
        if name not in there:
            raise BadInput(f"no fault {name!r}", hint=f"one of: {', '.join(there)}")
    return tuple(load(CATALOGUE / f"{name}.yaml") for name in wanted or there)


def load(path: Path) -> LoadedFault:
    """Read and validate a fault's file. Raises BadInput with every error's place and what is allowed."""
    shown = str(path.relative_to(SHIPPED.parent)) if path.is_relative_to(SHIPPED.parent) else str(path)
    found = loads(read_text(path, shown=shown, what="fault"), file=shown)
    if found.fault.name != path.stem:
        raise BadInput(
            f"name: the fault {found.fault.name!r} is in a file of another name",
            place=found.source.place(("name",)),
            hint=f"name: {path.stem}",
        )
    return found


def loads(text: str, *, file: str) -> LoadedFault:
    """Like `load`, from text."""
    tree = parse(text, Place(file=file), what="fault")
    if not isinstance(tree, CommentedMap):
        raise BadInput("a fault is a mapping", place=Place(file=file, line=1), hint="start with 'schema: 1'")
    source = Source(file=file, lines=tuple(text.splitlines()), tree=tree)
    try:
        return LoadedFault(fault=Fault.model_validate(plain(tree)), source=source)
    except ValidationError as error:
        raise refusal(error, source, what="fault", keys=_KEYS) from None
