"""The machine that a boot with emulated functions is compared with."""

from __future__ import annotations

from pipeline import scenario
from pipeline.bench import device
from pipeline.lab import board
from pipeline.lab.machine import hardware
from pipeline.plan import resolve


def test_the_floor_is_the_same_machine_but_for_the_emulated_functions() -> None:
    layout = board.lay_out(resolve(scenario.read("rx560")))
    full = hardware(layout, accelerator="tcg", cpu_vendor="amd")
    bare = [*device.without_functions(full)]
    functions = [text for text in full if "vfio-user-pci" in text]
    assert len(functions) == len(layout.emulated) == 2
    assert not any("vfio-user-pci" in text for text in bare)
    assert len(bare) == len(full) - 2 * len(functions)
    rebuilt = iter(full)
    assert all(text in rebuilt for text in bare), "in the same order"
