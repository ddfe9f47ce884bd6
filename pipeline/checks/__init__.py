"""Checks of a booted host: each compares one expectation of the Plan with one observation."""
