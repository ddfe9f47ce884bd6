"""The fingerprint: named facts of a machine, in text that can be reviewed line by line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """Facts by their path, such as `pci/00:01.0/ids` to `1b36:000c`; paths have the section first.

    `left_out` has what a guest can see but what differs between two boots of the same cell, or could not be
    taken here: a path or section to the reason. Times are not part of it.
    """

    facts: Mapping[str, str]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The same bytes for the same fingerprint: JSON, one fact a line, sorted."""
        value = {
            "version": VERSION,
            "facts": dict(sorted(self.facts.items())),
            "left out": dict(sorted(self.left_out.items())),
        }
        return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def read(text: str) -> Fingerprint:
    """The fingerprint that `text` wrote; raises ValueError for anything else."""
    value = json.loads(text)
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise ValueError(f"this is no fingerprint of version {VERSION}")
    for name in ("facts", "left out"):
        found = value.get(name)
        if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
            raise ValueError(f"{name!r} has to be a table of texts")
    return Fingerprint(facts=value["facts"], left_out=value["left out"])
