"""YAML text to Scenario; every error carries file, line and column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, ScalarEvent
from ruamel.yaml.parser import RoundTripParser
from ruamel.yaml.scanner import Scanner

from pipeline.errors import BadInput, Place
from pipeline.scenario.model import Scenario
from pipeline.scenario.references import check_references
from pipeline.scenario.refusal import refusal
from pipeline.scenario.source import Path, Source, written

SIZE_LIMIT = 1 << 17
DEPTH_LIMIT = 16
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
    try:
        with path.open("rb") as stream:
            raw = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise BadInput(f"cannot read the scenario: {error.strerror}", place=Place(file=shown)) from None
    if len(raw) > SIZE_LIMIT:
        raise BadInput(f"a scenario has at most {SIZE_LIMIT} bytes", place=Place(file=shown))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise BadInput("not UTF-8 text", place=Place(file=shown, line=line, column=column)) from None
    return loads(text, file=shown, settings=settings)


def loads(text: str, *, file: str, settings: Iterable[str] = ()) -> Loaded:
    """Like `load`, from text."""
    tree = _parse(text, Place(file=file))
    if not isinstance(tree, CommentedMap):
        raise BadInput(
            "a scenario is a mapping", place=Place(file=file, line=1), hint="start with 'schema: 1'"
        )
    overrides: dict[Path, Place] = {}
    for setting in settings:
        _apply(tree, setting, overrides)
    source = Source(file=file, lines=tuple(text.splitlines()), tree=tree, overrides=overrides)
    try:
        scenario = Scenario.model_validate(_plain(tree))
    except ValidationError as error:
        raise refusal(error, source) from None
    check_references(scenario, source)
    return Loaded(scenario, source)


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml"))


def _parse(text: str, whole: Place) -> Any:
    """The tree of a YAML text without anchors, tags and merge keys; `whole` is where the text stands."""
    if len(text) > SIZE_LIMIT:
        raise BadInput(f"a scenario has at most {SIZE_LIMIT} characters", place=whole)
    yaml = YAML(typ="rt", pure=True)
    # The one for round trips keeps comments, which nobody looks at here, and takes a fifth longer.
    yaml.Scanner = Scanner
    yaml.Parser = partial(_Parser, whole=whole)
    try:
        return yaml.load(text)
    except BadInput:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join((error.problem or error.context or "").split())
        raise BadInput(f"not YAML: {problem}", place=_at(mark, whole)) from None
    except Exception as error:  # ruamel.yaml also raises ValueError, AttributeError and others on odd texts
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BadInput(f"not YAML: {reason}", place=whole) from None


class _Parser(RoundTripParser):
    """Gives out events for the tree, and refuses what a scenario has no use for before anything is made of it."""

    def __init__(self, loader: Any, *, whole: Place) -> None:
        self._whole = whole
        self._depth = 0
        super().__init__(loader)

    def get_event(self) -> Any:
        event = super().get_event()
        self._refuse_extras(event)
        return event

    def _refuse_extras(self, event: Event) -> None:
        place = partial(_at, event.start_mark, self._whole)
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise BadInput("anchors and aliases are not allowed", place=place(), hint="write the value out")
        if getattr(event, "tag", None):
            raise BadInput("tags are not allowed", place=place(), hint="write the value without '!'")
        if isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0]:
            raise BadInput("merge keys are not allowed", place=place(), hint="write the keys out")
        if isinstance(event, CollectionStartEvent):
            self._depth += 1
            if self._depth > DEPTH_LIMIT:
                raise BadInput("nested too deeply", place=place(), hint=f"at most {DEPTH_LIMIT} levels")
        elif isinstance(event, CollectionEndEvent):
            self._depth -= 1


def _at(mark: Any, whole: Place) -> Place:
    """The place of a mark in a file; a value of the command line has no lines of its own."""
    if mark is None or whole.text:
        return whole
    return Place(file=whole.file, line=mark.line + 1, column=mark.column + 1)


def _plain(node: Any) -> Any:
    """The tree with plain containers; sequences become tuples, as strict pydantic wants them."""
    if isinstance(node, CommentedMap):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return tuple(_plain(value) for value in node)
    if isinstance(node, bool) or node is None:
        return node
    for kind in (str, int, float):
        if isinstance(node, kind):
            return kind(node)
    return node


def _apply(tree: CommentedMap, setting: str, overrides: dict[Path, Place]) -> None:
    """Put one `key.key=value` into the tree; the value is read as YAML."""
    key, equals, value = setting.partition("=")
    place = Place(file=f"--set {key}", text=setting)
    steps: Path = tuple(int(part) if _INDEX.fullmatch(part) else part for part in key.split("."))
    if not equals or not _KEY.fullmatch(key) or not isinstance(steps[0], str):
        raise BadInput(f"cannot read --set {setting!r}", hint="such as --set guest.machine=pc-q35-9.2")
    parsed = _parse(value, place)
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
