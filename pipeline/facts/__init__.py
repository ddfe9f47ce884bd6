"""Facts as data: distributions, kernels, drivers and machine types, each entry with its source."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def table(name: str) -> dict[str, Any]:
    """The data file `name`.toml."""
    return tomllib.loads((files(__name__) / "data" / f"{name}.toml").read_text(encoding="utf-8"))
