"""YAML text to a tree with positions, and nothing that could surprise in between."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, ScalarEvent
from ruamel.yaml.parser import RoundTripParser
from ruamel.yaml.scanner import Scanner

from pipeline.errors import BadInput, Place

SIZE_LIMIT = 1 << 17
DEPTH_LIMIT = 16


def read_text(path: Path, *, shown: str, what: str) -> str:
    """The text of a file that its places call `shown`; raises BadInput where it cannot be read."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise BadInput(f"cannot read the {what}: {error.strerror}", place=Place(file=shown)) from None
    if len(raw) > SIZE_LIMIT:
        raise BadInput(f"a {what} has at most {SIZE_LIMIT} bytes", place=Place(file=shown))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise BadInput("not UTF-8 text", place=Place(file=shown, line=line, column=column)) from None


def parse(text: str, whole: Place, *, what: str) -> Any:
    """The tree of a YAML text without anchors, tags and merge keys.

    `whole` is where the text stands, `what` what it is called. Raises BadInput where it is none.
    """
    if len(text) > SIZE_LIMIT:
        raise BadInput(f"a {what} has at most {SIZE_LIMIT} characters", place=whole)
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
    """Gives out events for the tree, and refuses what nothing here has a use for before anything is made of it."""

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


def plain(node: Any) -> Any:
    """The tree with plain containers; sequences become tuples, as strict pydantic wants them."""
    if isinstance(node, CommentedMap):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return tuple(plain(value) for value in node)
    if isinstance(node, bool) or node is None:
        return node
    for kind in (str, int, float):
        if isinstance(node, kind):
            return kind(node)
    return node
