"""Positions: from a path into the scenario (keys and indices) to file, line and column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from pipeline.errors import Place

Path = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The text a scenario was read from, with the places that `--set` options replaced."""

    file: str
    lines: tuple[str, ...]
    tree: CommentedMap
    overrides: Mapping[Path, Place] = field(default_factory=dict)

    def place(self, path: Path) -> Place:
        """The place of the value at `path`, or of its nearest parent that was written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                return self.overrides[path[:length]]
        node: Any = self.tree
        position = (0, 0)
        for key in path:
            found = _position(node, key)
            if found is None:
                break
            position = found
            node = node[key]
        line, column = position
        text = self.lines[line].strip() if line < len(self.lines) else ""
        return Place(file=self.file, line=line + 1, column=column + 1, text=text)


def _position(node: Any, key: str | int) -> tuple[int, int] | None:
    """Zero-based line and column of an entry, None where it was not written."""
    if isinstance(node, CommentedMap) and key in node:
        find = node.lc.key if isinstance(node[key], Mapping) else node.lc.value
    elif isinstance(node, CommentedSeq) and isinstance(key, int) and key < len(node):
        find = node.lc.item
    else:
        return None
    try:
        line, column = find(key)
    except (KeyError, TypeError):  # put in by a setting
        return None
    return int(line), int(column)


def written(node: Any, path: Path) -> Any:
    """The value as written at `path`, None where nothing was."""
    for key in path:
        in_map = isinstance(node, Mapping) and key in node
        in_list = isinstance(node, list) and isinstance(key, int) and key < len(node)
        if not in_map and not in_list:
            return None
        node = node[key]
    return node
