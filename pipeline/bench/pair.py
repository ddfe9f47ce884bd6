"""A measurement and its floor, taken in turns so that a busy machine slows both."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A measurement and its floor, in `unit`, and the ratio that is held to `limit` (0: none).

    Medians of several turns, where the function that makes it does not say otherwise.
    """

    name: str
    ours: float
    floor: float
    unit: str
    ratio: float
    limit: float


def paired(runs: int, ours: Callable[[], float], floor: Callable[[], float]) -> tuple[float, float]:
    """Medians of both over `runs` turns."""
    measured = [(floor(), ours()) for _ in range(runs)]
    return statistics.median(pair[1] for pair in measured), statistics.median(pair[0] for pair in measured)
