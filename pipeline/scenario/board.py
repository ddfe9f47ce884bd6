"""What an owner may write about the board: its bridges and functions, nested as `lspci -tv` draws them.

An entry is a function, or a bridge with the entries on the bus behind it. Root ports and what is integrated into
the processor or chipset are on bus 00.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from pipeline.scenario.grammar import (
    ClassCode,
    DriverName,
    FunctionName,
    PciAddress,
    PciIdPair,
    Revision,
    Size,
)
from pipeline.scenario.part import Part
from pipeline.scenario.source import Path

# The steps that pydantic puts into the location of an error for the two kinds of entries; no key looks like them.
FUNCTION_TAG = "<function>"
BRIDGE_TAG = "<bridge>"

BridgeKind = Literal["upstream-port", "downstream-port", "pcie-to-pci"]


class Bar(Part):
    """One base address register."""

    index: Annotated[int, Field(ge=0, le=5)]
    size: Size
    kind: Literal["mem32", "mem64", "mem64-prefetchable", "io"]

    @model_validator(mode="after")
    def _power_of_two(self) -> Bar:
        if self.size & (self.size - 1):
            raise ValueError("the size of a BAR is a power of two")
        if self.kind == "io" and self.size > 256:
            raise ValueError("an I/O BAR is at most 256 B")
        if self.kind != "io" and self.size < 16:
            raise ValueError("a memory BAR is at least 16 B")
        return self


class Function(Part):
    """One PCI function of the board, as `lspci -nn` shows it."""

    address: PciAddress
    class_: ClassCode = Field(alias="class", description="class code, such as '0300' or '0c0330'")
    id: PciIdPair = Field(description="vendor:device")
    subsystem: PciIdPair | None = Field(None, description="subsystem vendor:device (not for vfio-pci ids)")
    revision: Revision = "00"
    name: FunctionName = ""
    drivers: tuple[DriverName, ...] | None = Field(
        None,
        description="drivers of the host that would take it; known ones are looked up where left out",
    )
    bars: tuple[Bar, ...] = ()
    conventional: bool = Field(
        False,
        description="integrated functions: true where `lspci -v` shows no Express capability",
    )
    assumed: bool = Field(False, description="true where the source of this scenario does not say it")

    @model_validator(mode="after")
    def _no_bridge(self) -> Function:
        if self.class_.startswith("0604"):
            raise ValueError("class 0604 is that of bridges: say which with `bridge`, and what is behind it")
        return self

    @model_validator(mode="after")
    def _bars_apart(self) -> Function:
        used: set[int] = set()
        for bar in self.bars:
            wide = bar.kind in {"mem64", "mem64-prefetchable"}
            if wide and bar.index == 5:
                raise ValueError("a 64-bit BAR takes two places, and BAR 5 is the last")
            taken = {bar.index, bar.index + 1} if wide else {bar.index}
            if used & taken:
                raise ValueError(f"BAR {min(used & taken)} is used twice (a 64-bit BAR takes two places)")
            used |= taken
        return self


class Bridge(Part):
    """A switch's port or a PCIe-to-PCI bridge, and what is on the bus behind it."""

    address: PciAddress
    bridge: BridgeKind
    acs: bool | None = Field(
        None,
        description="downstream ports: true where `lspci -vv` shows Access Control Services; false where left out",
    )
    functions: Annotated[tuple[Entry, ...], Field(min_length=1, max_length=64)]
    id: PciIdPair | None = Field(None, description="vendor:device")
    name: FunctionName = ""
    assumed: bool = Field(False, description="true where the source of this scenario does not say it")

    @model_validator(mode="after")
    def _acs_where_there_can_be_any(self) -> Bridge:
        if self.acs is not None and self.bridge != "downstream-port":
            raise ValueError("acs is said of root ports and downstream ports")
        return self

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return {"pcie-to-pci": "PCIe-to-PCI bridge"}.get(self.bridge, self.bridge.replace("-", " "))


class RootPort(Part):
    """A root port and what is on the bus behind it."""

    address: PciAddress = Field(description="the root port's own address, on bus 00")
    acs: bool = Field(True, description="false where `lspci -vv` shows no Access Control Services")
    functions: Annotated[tuple[Entry, ...], Field(min_length=1, max_length=8)]
    id: PciIdPair | None = Field(None, description="vendor:device")
    name: FunctionName = ""
    assumed: bool = Field(False, description="true where the source of this scenario does not say it")

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return "root port"


def _tag(value: Any) -> str:
    return BRIDGE_TAG if isinstance(value, Bridge | dict) and "bridge" in dict(value) else FUNCTION_TAG


Entry = Annotated[
    Annotated[Function, Tag(FUNCTION_TAG)] | Annotated[Bridge, Tag(BRIDGE_TAG)], Discriminator(_tag)
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """An entry of the board: where it stands in the scenario and what it is behind (None: on bus 00)."""

    path: Path
    entry: RootPort | Bridge | Function
    behind: RootPort | Bridge | None


class Board(Part):
    """The PCI topology around the passed-through device."""

    root_ports: Annotated[tuple[RootPort, ...], Field(max_length=16)] = ()
    integrated: Annotated[tuple[Entry, ...], Field(max_length=32)] = Field(
        (), description="what else is on bus 00: integrated functions, PCIe-to-PCI bridges"
    )

    def placed(self) -> Iterator[Placed]:
        """Every entry, bridges before what is behind them, in the order of the scenario."""
        for key, entries in (("root_ports", self.root_ports), ("integrated", self.integrated)):
            yield from _placed(entries, ("board", key), None)


def _placed(
    entries: tuple[RootPort, ...] | tuple[Entry, ...], path: Path, behind: RootPort | Bridge | None
) -> Iterator[Placed]:
    for index, entry in enumerate(entries):
        here: Path = (*path, index)
        yield Placed(path=here, entry=entry, behind=behind)
        if not isinstance(entry, Function):
            yield from _placed(entry.functions, (*here, "functions"), entry)
