"""Rules over a Setup: what cannot work, may not work or does nothing, found without booting anything."""

from pipeline.lint.finding import Finding, Severity
from pipeline.lint.rules import RULES, lint

__all__ = ["RULES", "Finding", "Severity", "lint"]
