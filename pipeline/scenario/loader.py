"""YAML text to Scenario; every error carries file, line and column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from pipeline.errors import BadInput, Place
from pipeline.scenario.document import parse, plain, read_text
from pipeline.scenario.model import Scenario
from pipeline.scenario.references import check_references
from pipeline.scenario.refusal import refusal
from pipeline.scenario.source import Path, Source, written

SHIPPED = FilePath(__file__).resolve().parent.parent.parent / "scenarios"

_INDEX = re.compile(r"[0-9]{1,4}")
_KEY = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scenario with the positions of everything written in it."""

    scenario: Scenario
    source: Source


def find(name: str, *, base: FilePath | None = None) -> FilePath:
    """The file of a scenario given by name (a shipped one) or by path (relative to `base`).

    Raises BadInput when there is none.
    """
    path = (base or FilePath.cwd()) / name if _is_path(name) else SHIPPED / f"{name}.yaml"
    shipped = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.yaml")))
    hint = f"a path to a YAML file, or one of: {shipped}"
    try:
        if path.is_file() and path.suffix in {".yaml", ".yml"}:
            return path
    except (OSError, ValueError) as error:
        raise BadInput(f"no scenario {name!r}: {error}", hint=hint) from None
    raise BadInput(f"no scenario {name!r}", hint=hint)


def read(name: str, *, base: FilePath | None = None, settings: Iterable[str] = ()) -> Loaded:
    """Find and load a scenario; its places name the file as the user did.

    A shipped one is named relative to the checkout, so that reports do not depend on where that is.
    """
    return load(find(name, base=base), settings=settings, file=called(name))


def called(name: str) -> str:
    """What places call the file of a scenario."""
    return name if _is_path(name) else f"{SHIPPED.name}/{name}.yaml"


def load(path: FilePath, *, settings: Iterable[str] = (), file: str | None = None) -> Loaded:
    """Read and validate the scenario in `path` after applying `key.key=value` settings.

    `file` is what its places call the file. Raises BadInput with every error's place, the offending value
    and what is allowed.
    """
    shown = file or str(path)
    text = read_text(path, shown=shown, what="scenario")
    return loads(text, file=shown, settings=settings)


def loads(text: str, *, file: str, settings: Iterable[str] = ()) -> Loaded:
    """Like `load`, from text."""
    tree = parse(text, Place(file=file), what="scenario")
    if not isinstance(tree, CommentedMap):
        raise BadInput(
            "a scenario is a mapping", place=Place(file=file, line=1), hint="start with 'schema: 1'"
        )
    overrides: dict[Path, Place] = {}
    for setting in settings:
        _apply(tree, setting, overrides)
    source = Source(file=file, lines=tuple(text.splitlines()), tree=tree, overrides=overrides)
    try:
        scenario = Scenario.model_validate(plain(tree))
    except ValidationError as error:
        raise refusal(error, source) from None
    check_references(scenario, source)
    return Loaded(scenario, source)


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml"))


def _apply(tree: CommentedMap, setting: str, overrides: dict[Path, Place]) -> None:
    """Put one `key.key=value` into the tree; the value is read as YAML."""
    key, equals, value = setting.partition("=")
    place = Place(file=f"--set {key}", text=setting)
    steps: Path = tuple(int(part) if _INDEX.fullmatch(part) else part for part in key.split("."))
    if not equals or not _KEY.fullmatch(key) or not isinstance(steps[0], str):
        raise BadInput(f"cannot read --set {setting!r}", hint="such as --set guest.machine=pc-q35-9.2")
    parsed = parse(value, place, what="value")
    if isinstance(parsed, float):  # nothing in a scenario is one: a version such as 6.12 was meant
        parsed = value.strip()
    node: Any = tree
    for length, step in enumerate(steps[:-1], 1):
        below = written(node, (step,))
        if below is None and isinstance(node, CommentedMap):
            node[step] = below = CommentedMap()
            overrides[steps[:length]] = place
        if not isinstance(below, (CommentedMap, CommentedSeq)):
            raise BadInput(f"there is no {step!r} to set something in", place=place)
        node = below
    last = steps[-1]
    if isinstance(node, CommentedSeq) and not (isinstance(last, int) and last < len(node)):
        raise BadInput(f"the list has {len(node)} entries, there is no {last!r}", place=place)
    node[last] = parsed
    for path in [path for path in overrides if path[: len(steps)] == steps]:
        del overrides[path]
    overrides[steps] = place
