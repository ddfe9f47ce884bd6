"""The programs that a command of the shell calls, as far as it can be told without running it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

_OPERATORS = {"&&", "||", ";", "|", "&", "(", ")"}
_PREFIXES = {"sudo", "doas", "pkexec", "exec", "env", "then", "do", "else", "time", "nice"}
_SHELLS = {"sh", "bash", "dash"}
_DEEPEST = 3


def calls(command: str, *, depth: int = 0) -> Iterator[tuple[str, ...]]:
    """Each program with its arguments, without `sudo` and its like; nothing where quotation marks do not match."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return
    current: list[str] = []
    for word in (*words, ";"):
        if word not in _OPERATORS and not set(word) <= set(";&|()"):
            current.append(word)
            continue
        yield from _call(current, depth)
        current = []


def _call(words: Sequence[str], depth: int) -> Iterator[tuple[str, ...]]:
    rest = list(words)
    while rest and (rest[0] in _PREFIXES or ("=" in rest[0] and rest[0].partition("=")[0].isidentifier())):
        rest.pop(0)
    if len(rest) > 2 and program(rest) in _SHELLS and rest[1] == "-c" and depth < _DEEPEST:
        yield from calls(rest[2], depth=depth + 1)
    elif rest:
        yield tuple(rest)


def program(words: Sequence[str]) -> str:
    """The name of the program, without its directory."""
    return PurePosixPath(words[0]).name if words else ""


def option(words: Sequence[str], *names: str) -> str | None:
    """The value of an option given as `-o VALUE`, `-oVALUE`, `--output VALUE` or `--output=VALUE`; None without."""
    for index, word in enumerate(words[1:], 1):
        for name in names:
            if word == name:
                return words[index + 1] if index + 1 < len(words) else ""
            if name.startswith("--") and word.startswith(f"{name}="):
                return word.partition("=")[2]
            if not name.startswith("--") and word.startswith(name) and not word.startswith("--"):
                return word[len(name) :]
    return None


def has(words: Sequence[str], *names: str) -> bool:
    """Whether one of the options is given, with a value or without."""
    return option(words, *names) is not None
