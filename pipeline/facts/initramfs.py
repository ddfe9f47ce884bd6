"""The initramfs generators: what they read, what they are called with, and hooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.facts import table


@dataclass(frozen=True, kw_only=True, slots=True)
class Generator:
    """One entry of `[[generator]]`: `files` are what a bundle has for it, paths below /.

    `file` holds the list of modules, which `modules` names in a sentence; `drop_ins` are directories that are read
    beside the files. `missing` is what the tool says of a module that is not there ({module} is its name), empty where
    it passes over it.
    """

    name: str
    command: tuple[str, ...]
    file: str
    modules: str
    files: tuple[str, ...]
    drop_ins: tuple[str, ...]
    missing: str
    source: str


def generator(name: str) -> Generator:
    """What is known of a generator; raises LookupError where there is none of that name."""
    for entry in table("initramfs")["generator"]:
        if entry["name"] == name:
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
            }
            return Generator(**values)
    raise LookupError(f"no facts about the initramfs generator {name}")


def hooks(generator: str) -> frozenset[str]:
    """Names of the hooks that packages install for `generator`."""
    entries = [entry for entry in table("initramfs")["hooks"] if entry["generator"] == generator]
    return frozenset(name for entry in entries for name in entry["names"])
