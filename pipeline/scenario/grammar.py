"""The texts a scenario may contain: for each kind its grammar and the sentence that explains it.

Each pattern is the intersection of what the value's targets (shell, bash array, modprobe.d, XML, QEMU
option) take without quoting; a newline, quote, dollar sign or backquote is in none of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pipeline.pci import Address, IdPair

# The type of the errors below; their message is the sentence that says what is allowed.
GRAMMAR_ERROR = "grammar"

# Letters and digits of any script: no controls, no separators, no marks of direction, no joiners. Lengths are
# not counted in a pattern: a counted repetition of these costs tens of milliseconds to compile.
_WORD = r"\p{L}\p{M}\p{N}_"


@dataclass(frozen=True, slots=True)
class Text:
    """Annotation of a `str`: what it must match, and the same in words with an example."""

    pattern: str
    allowed: str
    example: str
    longest: int = 1024

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.custom_error_schema(
            core_schema.str_schema(pattern=self.pattern, max_length=self.longest, strict=True),
            custom_error_type=GRAMMAR_ERROR,
            custom_error_message="{allowed}",
            custom_error_context={"allowed": f"{self.allowed}, such as {self.example!r}"},
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            **handler(schema),
            "description": f"{self.allowed}, such as {self.example!r}",
            "examples": [self.example],
        }


_SIZE = re.compile(r"([0-9]{1,15}) (B|KiB|MiB|GiB|TiB)")
_SIZE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


@dataclass(frozen=True, slots=True)
class Quantity:
    """Annotation of an `int`: bytes, written as a number and a unit."""

    least: int = 1
    most: int = 1 << 50
    multiple_of: int = 1
    allowed: str = "a number and a unit (B, KiB, MiB, GiB, TiB)"
    example: str = "8 GiB"

    def read(self, value: Any) -> int:
        """The bytes that `value` says; refuses everything else."""
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if match:
            size = int(match[1]) * _SIZE_UNITS[match[2]]
            if self.least <= size <= self.most and size % self.multiple_of == 0:
                return size
        sentence = f"{self.allowed}, such as {self.example!r}"
        raise PydanticCustomError(GRAMMAR_ERROR, "{allowed}", {"allowed": sentence})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "pattern": f"^{_SIZE.pattern}$",
            "description": f"{self.allowed}, such as {self.example!r}",
            "examples": [self.example],
        }


def _address(text: str) -> str:
    return str(Address.parse(text))


def _pair(text: str) -> str:
    return str(IdPair.parse(text))


def _without_dots(text: str) -> str:
    if any(part in {"..", "."} for part in text.split("/")):
        raise PydanticCustomError(
            GRAMMAR_ERROR,
            "{allowed}",
            {"allowed": "an absolute path without '.' or '..' as a part, such as '/srv/disk.qcow2'"},
        )
    return text


Name = Annotated[
    str,
    Text(
        r"^[a-z0-9][a-z0-9._-]{0,62}$",
        "lower-case letters, digits, dots, underscores and hyphens, at most 63, a letter or digit first",
        "win10",
    ),
]
Prose = Annotated[
    str,
    Text(
        r"^(\n|[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}])*$",
        "text without control characters, at most 4000 characters",
        "My desktop",
        4000,
    ),
]
CpuModel = Annotated[
    str,
    Text(
        rf"^([\p{{L}}\p{{N}}][{_WORD} .()@-]*)?$",
        "letters, digits, spaces and . ( ) @ _ -, at most 64",
        "Ryzen 5 2400G",
        64,
    ),
]
FunctionName = Annotated[
    str,
    Text(
        rf"^([\p{{L}}\p{{N}}\[(][{_WORD} .,()/\[\]+-]*)?$",
        "letters, digits, spaces and . , ( ) / [ ] + _ -, at most 120",
        "Baffin [Radeon RX 560]",
        120,
    ),
]
KernelParameter = Annotated[
    str,
    Text(
        r"^[A-Za-z0-9][A-Za-z0-9._-]*(=[A-Za-z0-9._,:/@+%=-]*)?$",
        "one kernel parameter without spaces or quotes",
        "iommu=pt",
        512,
    ),
]
ModuleName = Annotated[
    str,
    Text(
        r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\??$",
        "a kernel module's name, with ? after it where it may be missing",
        "vfio_pci",
    ),
]
DriverName = Annotated[
    str,
    Text(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", "a kernel driver's name", "amdgpu"),
]
ServiceName = Annotated[
    str,
    Text(
        r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}(@[A-Za-z0-9][A-Za-z0-9_-]{0,31})?$",
        "a systemd service without its suffix: letters, digits, underscores and hyphens, with @ an instance",
        "sddm",
    ),
]
HookName = Annotated[str, Text(r"^[a-z0-9][a-z0-9_-]{0,63}$", "the name of a mkinitcpio hook", "modconf")]
KernelSeries = Annotated[
    str, Text(r"^[0-9]{1,3}\.[0-9]{1,3}$", "a kernel series in quotes: two numbers and a dot", "6.12")
]
QemuRelease = Annotated[
    str, Text(r"^[0-9]{1,3}\.[0-9]{1,3}$", "a QEMU release in quotes: two numbers and a dot", "11.1")
]
MachineType = Annotated[
    str,
    Text(
        r"^(pc-)?(q35|i440fx)(-[0-9]{1,2}\.[0-9]{1,2}(\.[0-9]{1,2})?)?$",
        "a machine type of QEMU with its version",
        "pc-q35-9.2",
    ),
]
InterfaceName = Annotated[
    str,
    Text(
        r"^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$",
        "a network interface: letters, digits, dots, underscores and hyphens, at most 15",
        "br0",
    ),
]
RootDevice = Annotated[
    str,
    Text(
        r"^(UUID=[0-9A-Fa-f-]{4,36}|LABEL=[A-Za-z0-9._-]{1,16})$",
        "the root file system by UUID or label, as `findmnt -no UUID /` says",
        "UUID=0a3407de-014b-458b-b5c1-848e92a327a3",
    ),
]
Revision = Annotated[str, Text(r"^[0-9a-f]{2}$", "two hexadecimal digits in quotes", "e5")]
ClassCode = Annotated[
    str, Text(r"^[0-9a-f]{4}([0-9a-f]{2})?$", "four or six hexadecimal digits in quotes", "0300")
]
PciAddress = Annotated[
    str,
    Text(
        r"^([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7]$",
        "the address of a PCI function in quotes",
        "01:00.0",
    ),
    AfterValidator(_address),
]
PciIdPair = Annotated[
    str,
    Text(
        r"^[0-9a-fA-F]{4}:[0-9a-fA-F]{4}$",
        "two times four hexadecimal digits with a colon, in quotes",
        "1002:67ef",
    ),
    AfterValidator(_pair),
]
AbsolutePath = Annotated[
    str,
    Text(
        rf"^/[{_WORD} .@+()\[\]/-]*[{_WORD})\]]$",
        "an absolute path of letters, digits, spaces and . @ + ( ) [ ] _ -",
        "/var/lib/libvirt/images/win10.qcow2",
    ),
    AfterValidator(_without_dots),
]
Size = Annotated[int, Quantity()]
Memory = Annotated[
    int,
    Quantity(
        least=1 << 20,
        multiple_of=1 << 20,
        allowed="a number and a unit (MiB, GiB, TiB), a whole number of MiB",
    ),
]
CheckId = Annotated[
    str,
    Text(
        r"^[a-z][a-z-]{0,31}\[[A-Za-z0-9/:._=,+@-]{1,200}\]$",
        "a check as the verdict names it: its kind and in brackets what it is about",
        "viable[01:00.0]",
    ),
]
FindingCode = Annotated[str, Text(r"^DB[0-9]{3}$", "the code of a finding", "DB101")]
Year = Annotated[int, Field(ge=2019, le=2099)]
BootOrder = Annotated[int, Field(ge=1, le=9, description="place in the boot order, 1 first")]
