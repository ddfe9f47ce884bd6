"""OVMF images, by the names that packages give them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.facts import table


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """`size` in MiB is that of code and variables together; `keys`: Secure Boot keys are enrolled in the template."""

    size: int
    secure_boot: bool
    keys: bool
    source: str


def image(path: str) -> Image | None:
    """What the name of an image says; None for a name that no package is known to use."""
    name = path.rpartition("/")[2]
    for entry in table("firmware")["image"]:
        if re.fullmatch(entry["pattern"], name):
            return Image(
                size=entry["size"],
                secure_boot=entry.get("secure_boot", False),
                keys=entry.get("keys", False),
                source=entry["source"],
            )
    return None
