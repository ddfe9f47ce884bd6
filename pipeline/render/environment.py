"""The Jinja2 environment: every value has to go through the filter of its target."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import BadInput

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).resolve().parent.parent.parent / "templates"

_MODPROBE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,63}")
_PARAMETER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(=[A-Za-z0-9._,:/@+%=-]*)?")
_TAIL = re.compile(r"[A-Za-z0-9._-]*")
_ENTRY_PATH = re.compile(r"/[A-Za-z0-9._/-]+")
_SPECIAL_IN_DOUBLE_QUOTES = re.compile(r'[\\"$`]')


class Quoted(str):
    """Text that a filter has made fit for its target; the environment outputs nothing else."""

    __slots__ = ()


def sh(value: str) -> Quoted:
    """One word for a POSIX shell, in the double quotes that /etc/default/grub has always had."""
    return Quoted('"' + _SPECIAL_IN_DOUBLE_QUOTES.sub(r"\\\g<0>", _text(value, "a shell file")) + '"')


def bash_word(value: str) -> Quoted:
    """One word for bash, quoted only where it has to be."""
    return Quoted(shlex.quote(_text(value, "a shell file")))


def host_path(value: str) -> Quoted:
    """A path for a shell on the host; what `uname -r` says there is put in for {release}."""
    head, release, tail = _text(value, "a shell file").partition("{release}")
    if not release:
        return bash_word(value)
    if not _ENTRY_PATH.fullmatch(head) or not _TAIL.fullmatch(tail):
        raise _unfit(value, "a shell file")
    return Quoted(f'"{head}$(uname -r){tail}"')


def bash_words(values: Iterable[str]) -> Quoted:
    """The words of a bash array, without its parentheses."""
    return Quoted(" ".join(bash_word(value) for value in values))


def modprobe(value: str) -> Quoted:
    """A module's name or an id for modprobe.d, which has no quoting: anything else is refused."""
    if not _MODPROBE.fullmatch(_text(value, "modprobe.d")):
        raise _unfit(value, "modprobe.d")
    return Quoted(value)


def modprobe_path(value: str) -> Quoted:
    """The path of a program for an install command of modprobe.d, which a shell reads."""
    if not _ENTRY_PATH.fullmatch(_text(value, "modprobe.d")):
        raise _unfit(value, "modprobe.d")
    return Quoted(value)


def modprobe_words(values: Iterable[str]) -> Quoted:
    """Names of modules between spaces, for inside double quotes of a shell."""
    return Quoted(" ".join(modprobe(value) for value in values))


def modprobe_paths(values: Iterable[str]) -> Quoted:
    """Paths between spaces, for inside double quotes of a shell."""
    return Quoted(" ".join(modprobe_path(value) for value in values))


def modprobe_list(values: Iterable[str]) -> Quoted:
    """The values of one module option, separated by commas."""
    return Quoted(",".join(modprobe(value) for value in values))


def command_line(values: Iterable[str]) -> Quoted:
    """Kernel parameters as one shell word.

    The shell's quoting is not enough: grub-mkconfig puts the value unquoted into grub.cfg, whose language
    has `$`, `;` and quotes of its own. So what either would read as more than text is refused.
    """
    parameters = list(values)
    for value in parameters:
        if not _PARAMETER.fullmatch(_text(value, "the kernel command line")):
            raise _unfit(value, "the kernel command line")
    return sh(" ".join(parameters))


def comment(value: str) -> Quoted:
    """Text for the rest of a comment line."""
    if not _text(value, "a comment").isprintable():
        raise _unfit(value, "a comment")
    return Quoted(value)


def entry(value: str) -> Quoted:
    """A path for a boot loader entry, whose language has no quoting (UAPI.1)."""
    if not _ENTRY_PATH.fullmatch(_text(value, "a boot loader entry")):
        raise _unfit(value, "a boot loader entry")
    return Quoted(value)


def entry_options(values: Iterable[str]) -> Quoted:
    """Kernel parameters for a boot loader entry: words between spaces, without quoting."""
    parameters = list(values)
    for value in parameters:
        if not _PARAMETER.fullmatch(_text(value, "a boot loader entry")):
            raise _unfit(value, "a boot loader entry")
    return Quoted(" ".join(parameters))


def code(value: str) -> Quoted:
    """A code span of Markdown."""
    if "`" in _text(value, "Markdown") or not value.isprintable() or not value.strip():
        raise _unfit(value, "Markdown")
    return Quoted(f"`{value}`")


def yaml(value: str) -> Quoted:
    """A scalar of YAML in double quotes, whose escapes are those of JSON."""
    if not _text(value, "YAML").isprintable():
        raise _unfit(value, "YAML")
    return Quoted(json.dumps(value, ensure_ascii=False))


def yaml_list(values: Iterable[int]) -> Quoted:
    """Numbers for inside the brackets of a list of YAML."""
    return Quoted(", ".join(f"{value:d}" for value in values))


FILTERS = {
    function.__name__: function
    for function in (
        sh,
        bash_word,
        host_path,
        bash_words,
        modprobe,
        modprobe_path,
        modprobe_paths,
        modprobe_words,
        modprobe_list,
        command_line,
        comment,
        code,
        entry,
        entry_options,
        yaml,
        yaml_list,
    )
}


@cache
def environment(templates: Path = TEMPLATES) -> Environment:
    """The environment over a directory of templates."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from pipeline.render.compiled import Compiled

    made = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        bytecode_cache=Compiled(templates, made_by=Path(__file__).read_bytes()),
        finalize=_only_quoted,
    )
    made.filters.update(FILTERS)
    return made


def fill(templates: Sequence[str], **values: object) -> bytes:
    """The first of the templates that there is, with its values filled in.

    Raises BadInput where a value cannot be written for its target or there is no such template.
    """
    from jinja2 import TemplateNotFound, TemplatesNotFound

    try:
        return environment().select_template(list(templates)).render(**values).encode()
    except TemplatesNotFound as error:
        raise BadInput(f"there is no template {' or '.join(map(repr, error.templates))}") from None
    except TemplateNotFound as error:
        raise BadInput(f"there is no template {error.name!r}") from None


def _only_quoted(value: object) -> object:
    if isinstance(value, (Quoted, int)):
        return value
    raise TypeError(f"a template puts out {value!r} without a filter")


def _text(value: str, target: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _unfit(value, target) from None
    if "\0" in value:
        raise _unfit(value, target)
    return value


def _unfit(value: str, target: str) -> BadInput:
    return BadInput(f"{value!r} cannot be written into {target}")
