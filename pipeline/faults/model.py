"""What a fault's file may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.scenario.grammar import CheckId, FindingCode, Name, Prose, Text
from pipeline.scenario.part import Part

BundlePath = Annotated[
    str,
    Text(
        r"^(etc|boot|usr|libvirt)(/[A-Za-z0-9][A-Za-z0-9._-]*)+$",
        "the path of a file of the bundle, below etc, boot, usr or libvirt",
        "etc/mkinitcpio.conf",
        200,
    ),
]
FileText = Annotated[
    str,
    Text(
        r"^(\n|\t|[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}])*$",
        "text without control characters but tabs, at most 8000 characters",
        "MODULES=(amdgpu)",
        8000,
    ),
]
SomeText = Annotated[
    str,
    Text(
        r"^(\n|\t|[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}])+$",
        "text without control characters but tabs, not empty, at most 8000 characters",
        "MODULES=(amdgpu)",
        8000,
    ),
]
Line = Annotated[
    str,
    Text(r"^(\t|[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}])+$", "one line of text", "blacklist amdgpu", 1000),
]
Url = Annotated[
    str,
    Text(
        r"^https://[A-Za-z0-9.-]+/[A-Za-z0-9._~:/?#@!&*+,;=%()-]*$",
        "an https address",
        "https://wiki.archlinux.org/title/PCI_passthrough_via_OVMF",
        300,
    ),
]
SettingKey = Annotated[
    str,
    Text(r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$", "a key as --set takes it", "host.vfio.ids", 200),
]


def _plain_values(value: Any) -> Any:
    """Refuse what YAML reads as something that JSON has no name for, such as a date."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case tuple():
            return tuple(_plain_values(one) for one in value)
        case dict() if all(isinstance(key, str) for key in value):
            return {key: _plain_values(one) for key, one in value.items()}
        case _:
            raise ValueError("put it in quotes: it is read as something else than a text or a number")


Setting = Annotated[Any, AfterValidator(_plain_values)]


class Change(Part):
    """A change of one file of the rendered bundle, in exactly one of four ways."""

    path: BundlePath
    replace: SomeText | None = Field(None, description="a text that is in the file exactly once")
    with_: FileText | None = Field(None, alias="with", description="what stands there instead")
    add_line: Line | None = Field(None, description="a line at the end of the file")
    write: FileText | None = Field(None, description="the text of a file that the bundle does not have")
    remove_file: Literal[True] | None = Field(None, description="true: the file is not there")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [self.replace, self.add_line, self.write, self.remove_file]
        if sum(way is not None for way in ways) != 1:
            raise ValueError("exactly one of replace (and with), add_line, write, remove_file")
        if (self.replace is None) != (self.with_ is None):
            raise ValueError("replace and with belong together")
        return self


class Where(Part):
    """The place that the finding must name: the end of its file's name, and a part of its line."""

    file: Prose
    text: Prose = ""


class Boot(Part):
    """What a boot shows of the fault: checks that must fail, or why it cannot show it."""

    checks: tuple[CheckId, ...] = Field((), description="checks that must fail, as the verdict names them")
    because: Prose | None = None
    cannot: Prose | None = Field(None, description="why booting cannot show the fault")
    loader: bool = Field(False, description="true where the boot loader has a part in it and is booted too")

    @model_validator(mode="after")
    def _either(self) -> Self:
        shown = bool(self.checks) and self.because is not None and self.cannot is None
        hidden = not self.checks and self.because is None and self.cannot is not None
        if not shown and not hidden:
            raise ValueError("either checks and because, or cannot")
        return self


class Expectation(Part):
    """What lint must find and what a boot must show.

    `also` are codes of errors and warnings that the mistake brings along.
    """

    finding: FindingCode
    severity: Literal["error", "warning", "note"]
    place: Where
    also: tuple[FindingCode, ...] = ()
    boot: Boot


class Fault(Part):
    """One real mistake, as a small change of a good scenario or of its bundle."""

    schema_: Literal[1] = Field(alias="schema")
    name: Name
    title: Prose
    story: Prose = Field(description="what the owner sees")
    source: Annotated[tuple[Url, ...], Field(min_length=1)]
    base: Name = Field(description="a shipped scenario")
    set_: dict[SettingKey, Setting] = Field({}, alias="set", description="as --set: key to value")
    files: tuple[Change, ...] = ()
    expect: Expectation

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.set_ and not self.files:
            raise ValueError("a fault changes something: set or files")
        return self
