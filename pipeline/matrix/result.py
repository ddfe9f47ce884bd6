"""What came of one cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from pipeline.fingerprint.model import Fingerprint
from pipeline.matrix.cell import Cell


class Ended(Enum):
    """How a cell ended."""

    HELD = "held"
    """It booted, and every check of it held."""
    FAILED = "failed"
    """A check of it failed: QEMU refused the domain, the firmware did not come up, or a function is missing."""
    LAB_FAULT = "lab fault"
    """Nothing is known of it: the lab, its tools or the machine failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CellCheck:
    """One check of a cell: a stable name such as `firmware` or `function[01:00.0]`, and what was seen."""

    name: str
    held: bool
    observed: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CellResult:
    """The result of a cell; `times` in seconds, `stand_ins` what was not as on the owner's machine.

    `console` is the end of what the guest and QEMU said, kept where the cell did not hold. `compat` has the
    compat properties of the machine type as QEMU gives them (driver.property to value), None where that release
    does not tell them.
    """

    cell: Cell
    ended: Ended
    checks: tuple[CellCheck, ...] = ()
    fingerprint: Fingerprint | None = None
    compat: Mapping[str, str] | None = None
    times: Mapping[str, float] = field(default_factory=dict)
    stand_ins: tuple[str, ...] = ()
    fault: str = ""
    console: str = ""
    attempts: int = 1
