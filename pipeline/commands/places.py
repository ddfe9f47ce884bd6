"""Where files are that a user names, and what a scenario that is named so says."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def base() -> Path:
    """The directory that relative paths mean: where the user was."""
    return Path(os.environ.get("DRYBOOT_CWD") or Path.cwd())


def load(scenario: str, settings: Iterable[str]) -> tuple[Any, Any, Path]:
    """A scenario with its plan, and where its file is. Raises BadInput."""
    from pipeline import scenario as scenarios
    from pipeline.plan import resolve

    loaded = scenarios.read(scenario, base=base(), settings=tuple(settings))
    return loaded, resolve(loaded), scenarios.find(scenario, base=base())


def output_of(name: str, output: str) -> Path:
    """Where what is made of the scenario `name` goes: `output`, else a directory of that name."""
    return base() / (output or f"build/{name}")
