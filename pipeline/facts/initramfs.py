"""Hooks of the initramfs generators."""

from __future__ import annotations

from pipeline.facts import table


def hooks(generator: str) -> frozenset[str]:
    """Names of the hooks that packages install for `generator`."""
    entries = [entry for entry in table("initramfs")["hooks"] if entry["generator"] == generator]
    return frozenset(name for entry in entries for name in entry["names"])
