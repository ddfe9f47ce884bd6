"""What pydantic finds wrong with a scenario, in words for its owner."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import BadInput
from pipeline.scenario.board import BRIDGE_TAG, FUNCTION_TAG
from pipeline.scenario.grammar import GRAMMAR_ERROR
from pipeline.scenario.source import Path, Source

_SHOWN_ERRORS = 6
_KEYS = "the keys are in scenarios/scenario.schema.json (an editor completes from it) and docs/scenario.md"


def refusal(error: ValidationError, source: Source, *, what: str = "scenario", keys: str = _KEYS) -> BadInput:
    """The first error as the message, up to five more below it, each with its place.

    `what` is what was read, `keys` says where its keys are listed.
    """
    details = sorted(_causes(error.errors(include_url=False)), key=lambda one: _order(one, source))
    first = details[0]
    more = []
    for one in details[1:_SHOWN_ERRORS]:
        allowed = _allowed(one, keys)
        more.append(
            f"{source.place(_path(one))}: {_message(one, what)}" + (f"; {allowed}" if allowed else "")
        )
    if len(details) > _SHOWN_ERRORS:
        more.append(f"and {len(details) - _SHOWN_ERRORS} more")
    return BadInput(
        "\n".join([_message(first, what), *more]),
        place=source.place(_path(first)),
        hint=_allowed(first, keys),
    )


def _causes(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """The errors without those that follow from others: a list whose entries are refused is not too short."""
    paths = [one["loc"] for one in details]
    return [
        one
        for one in details
        if one["type"] != "too_short"
        or not any(path != one["loc"] and path[: len(one["loc"])] == one["loc"] for path in paths)
    ]


def _order(detail: ErrorDetails, source: Source) -> tuple[int, int]:
    place = source.place(_path(detail))
    return place.line, place.column


def _path(detail: ErrorDetails) -> Path:
    """Pydantic's location up to a key that is no text, which only `invalid_key` errors have."""
    found = _location(detail)
    return found[:-1] if detail["type"] == "invalid_key" else found


def _location(detail: ErrorDetails) -> Path:
    """The keys and indices as written: without the tags that say which kind of entry was tried, or that a key was."""
    steps = tuple(step for step in detail["loc"] if step not in {FUNCTION_TAG, BRIDGE_TAG})
    return steps[:-1] if steps[-1:] == ("[key]",) and detail["type"] == GRAMMAR_ERROR else steps


def _message(detail: ErrorDetails, what: str) -> str:
    name = ".".join(_step(step) for step in _location(detail)) or f"the {what}"
    match detail["type"]:
        case "missing":
            return f"{name} is missing"
        case "extra_forbidden" | "invalid_key":
            return f"{name} is not a key that a {what} has"
        case "value_error":
            return f"{name}: {detail['msg'].removeprefix('Value error, ')}"
        case _:
            return f"{name}: {_shown(detail['input'])} is not allowed"


def _step(step: int | str) -> str:
    text = str(step)
    return text if text.isidentifier() or text.isdigit() else _shown(text)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (tuple, list)):
        return "a list" if value else "an empty list"
    if value is None:
        return "nothing"
    # repr escapes what cannot be printed and what would turn the line around.
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _allowed(detail: ErrorDetails, keys: str) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case kind if kind == GRAMMAR_ERROR:
            return f"allowed: {context['allowed']}"
        case "literal_error":
            return f"allowed: {context['expected']}"
        case "greater_than_equal":
            return f"allowed: {context['ge']} or more"
        case "less_than_equal":
            return f"allowed: {context['le']} or less"
        case "int_type" | "int_from_float":
            return "allowed: a whole number without quotes"
        case "bool_type":
            return "allowed: true or false"
        case "tuple_type":
            return "allowed: a list"
        case "model_type" | "dict_type":
            return "allowed: a mapping"
        case "too_short":
            return f"allowed: a list of at least {context['min_length']}"
        case "too_long":
            return f"allowed: a list of at most {context['max_length']}"
        case "extra_forbidden" | "missing" | "invalid_key":
            return keys
        case _:
            return ""
