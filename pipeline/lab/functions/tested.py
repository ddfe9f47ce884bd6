"""A function under test: how the guest finds it, and where its test registers are."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.lab.device import registers
from pipeline.lab.device.function import BarKind
from pipeline.plan.model import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Tested:
    """A function as the program looks for it: its ids, its number in its slot, and where its registers are.

    `bar` is None where it has no register page; `offset` is that of the page in the BAR, in bytes.
    """

    __test__ = False

    vendor: int
    device: int
    function: int
    bar: int | None
    offset: int

    def as_numbers(self) -> dict[str, int]:
        """The same as the program takes it."""
        return {
            "vendor": self.vendor,
            "device": self.device,
            "function": self.function,
            "bar": -1 if self.bar is None else self.bar,
            "offset": self.offset,
        }


def under_test(plan: Plan) -> tuple[Tested, ...]:
    """The passed-through functions of a plan, in its order; the domain says what numbers they have in the guest."""
    numbers = {device.source: device.function for device in plan.guest.host_devices}
    found = []
    for function in plan.passed:
        memory = {bar.index: bar.size for bar in function.bars if BarKind(bar.kind).memory}
        place = registers.place(memory)
        found.append(
            Tested(
                vendor=function.ids.vendor,
                device=function.ids.device,
                function=numbers.get(function.address, function.address.function),
                bar=place[0] if place else None,
                offset=place[1] if place else 0,
            )
        )
    return tuple(found)
