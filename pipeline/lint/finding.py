"""What a rule finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import Place
from pipeline.lint.edit import Edit


class Severity(StrEnum):
    """How bad a finding is: an error will not work, a warning may not, a note does no harm."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing wrong with a set-up: what was found where, why it matters and what to do.

    `code` is stable: its first digit is the subject, and a code is never used for another rule. `source`
    says where `why` was read or measured. `edits` are the fix as exact changes of the input, empty where it takes a
    decision.
    """

    code: str
    severity: Severity
    place: Place
    found: str
    why: str
    fix: str
    source: str
    edits: tuple[Edit, ...] = ()

    def __str__(self) -> str:
        return f"{self.place}: {self.severity} {self.code}: {self.found}"
