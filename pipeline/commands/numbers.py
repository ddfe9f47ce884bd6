"""Numbers among the options: invoke's own reading of them ends in a traceback."""

from __future__ import annotations

from pipeline.errors import BadInput

_DIGITS = 6


def number(option: str, text: str | int) -> int:
    """The whole number that was given to `option`; raises BadInput for anything else."""
    value = str(text).strip()
    if value.removeprefix("-").isdecimal() and len(value) <= _DIGITS:
        return int(value)
    raise BadInput(f"{option} {text}: not a whole number", hint=f"such as {option} 2")
