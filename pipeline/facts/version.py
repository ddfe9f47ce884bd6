"""Versions such as 6.12: compared number by number, not as text or as a fraction."""

from __future__ import annotations


def parts(text: str) -> tuple[int, ...]:
    """`6.12` to (6, 12); raises ValueError on anything that is not numbers and dots."""
    return tuple(int(part) for part in text.split("."))


def order(text: str) -> tuple[int, ...]:
    """The same to sort by; what is no version comes before all that are."""
    try:
        return parts(text)
    except ValueError:
        return (0,)
