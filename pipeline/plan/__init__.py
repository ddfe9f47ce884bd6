"""The Plan: a scenario with everything decided, and what must hold when it has booted."""

from pipeline.plan.model import Check, Expectation, Plan, Stage
from pipeline.plan.resolve import resolve

__all__ = ["Check", "Expectation", "Plan", "Stage", "resolve"]
