"""The command line of mkinitcpio.

Source: mkinitcpio(8) and its option parser, v41: short options in clusters, long ones by any unambiguous
beginning, an empty argument counts as none, what is left over is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

_NAME = "mkinitcpio"

# Every option of the real one, in its order: short name, long names, whether it takes an argument.
_OPTIONS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("A", ("add", "addhooks"), True),
    ("I", ("include",), True),
    ("c", ("config",), True),
    ("g", ("generate",), True),
    ("D", ("hookdir",), True),
    ("H", ("hookhelp",), True),
    ("h", ("help",), False),
    ("k", ("kernel",), True),
    ("L", ("listhooks",), False),
    ("M", ("automods",), False),
    ("r", ("moduleroot",), True),
    ("n", ("nocolor",), False),
    ("", ("nopost",), False),
    ("P", ("allpresets",), False),
    ("p", ("preset",), True),
    ("R", ("remove",), False),
    ("S", ("skiphooks",), True),
    ("s", ("save",), False),
    ("d", ("generatedir",), True),
    ("t", ("builddir",), True),
    ("V", ("version",), False),
    ("v", ("verbose",), False),
    ("z", ("compress",), True),
    ("U", ("uki", "uefi"), True),
    ("", ("microcode",), True),
    ("", ("splash",), True),
    ("", ("kernelimage",), True),
    ("", ("uefistub",), True),
    ("", ("cmdline",), True),
    ("", ("osrelease",), True),
    ("", ("no-cmdline",), False),
    ("", ("ukiconfig",), True),
    ("", ("no-ukify",), False),
)
# What the substitute would have to do and does not.
REFUSED = frozenset(
    {
        *("hookdir", "hookhelp", "include", "listhooks", "automods", "remove", "generatedir", "help"),
        *("moduleroot", "builddir", "microcode"),
    }
)
_SHORT = MappingProxyType({short: names[0] for short, names, _ in _OPTIONS if short})
_LONG = MappingProxyType({name: names[0] for _, names, _ in _OPTIONS for name in names})
_WITH_ARGUMENT = frozenset(names[0] for _, names, takes in _OPTIONS if takes)


class Usage(Exception):
    """Arguments that the command refuses; the text is what it prints."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What was asked for. `all_presets` goes before `presets`, both before everything else."""

    presets: tuple[str, ...] = ()
    all_presets: bool = False
    generate: str = ""
    kernel: str = ""
    config: str = ""
    skip_hooks: tuple[str, ...] = ()
    add_hooks: tuple[str, ...] = ()
    compress: str = ""
    uki: str = ""
    unified: tuple[tuple[str, str], ...] = field(default=())
    version: bool = False


def parse(arguments: Sequence[str]) -> Options:
    """Read the arguments as the real command does; raises Usage with its message."""
    skip: list[str] = []
    add: list[str] = []
    presets: list[str] = []
    unified: list[tuple[str, str]] = []
    single = {"generate": "", "kernel": "", "config": "", "compress": "", "uki": ""}
    all_presets = version = False
    for name, value in _pairs(arguments):
        if name in REFUSED:
            raise Usage(f"{_NAME}: --{name} is not known to this substitute for mkinitcpio")
        match name:
            case "skiphooks":
                skip += value.split(",")
            case "add":
                add += value.split(",")
            case "preset":
                # A preset after -P is one more; -P after a preset replaces it.
                presets.append(value)
            case "allpresets":
                all_presets, presets = True, []
            case "version":
                version = True
            case "cmdline" | "splash" | "osrelease" | "kernelimage" | "uefistub" | "ukiconfig":
                unified.append((name, value))
            case "no-cmdline" | "no-ukify":
                unified.append((name, ""))
            case _ if name in single:
                single[name] = value
    return Options(
        presets=tuple(presets),
        all_presets=all_presets,
        skip_hooks=tuple(skip),
        add_hooks=tuple(add),
        unified=tuple(unified),
        version=version,
        **single,
    )


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options by their first long name, each with its argument."""
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            return
        if word.startswith("--"):
            yield _long(word, left)
        elif word.startswith("-") and len(word) > 1:
            yield from _cluster(word, left)


def _long(word: str, left: list[str]) -> tuple[str, str]:
    written, _, value = word[2:].partition("=")
    fitting = [written] if written in _LONG else [name for name in _LONG if name.startswith(written)]
    if not fitting:
        raise Usage(f"{_NAME}: unrecognized option '--{written}'")
    if len(fitting) > 1:
        names = "".join(f" '{name}'" for name in fitting)
        raise Usage(f"{_NAME}: option '--{written}' is ambiguous; possibilities:{names}")
    name = _LONG[fitting[0]]
    if name not in _WITH_ARGUMENT:
        if value:
            raise Usage(f"{_NAME}: option '--{fitting[0]}' doesn't allow an argument")
        return name, ""
    if not value:
        if not left or not left[0]:
            raise Usage(f"{_NAME}: option '--{fitting[0]}' requires an argument")
        value = left.pop(0)
    return name, value


def _cluster(word: str, left: list[str]) -> Iterator[tuple[str, str]]:
    for place, letter in enumerate(word[1:], start=1):
        name = _SHORT.get(letter)
        if name is None:
            raise Usage(f"{_NAME}: invalid option -- '{letter}'")
        if name not in _WITH_ARGUMENT:
            yield name, ""
            continue
        value = word[place + 1 :]
        if not value:
            if not left or not left[0]:
                raise Usage(f"{_NAME}: option '-{letter}' requires an argument")
            value = left.pop(0)
        yield name, value
        return
