from __future__ import annotations

from pipeline.lab.functions.tested import Tested, under_test
from pipeline.plan import resolve
from pipeline.scenario import read


def test_the_registers_are_where_the_device_has_them() -> None:
    """The last page of the memory BAR with the highest index."""
    assert under_test(resolve(read("rx560"))) == (
        Tested(vendor=0x1002, device=0x67EF, function=0, bar=5, offset=(256 << 10) - 4096),
        Tested(vendor=0x1002, device=0xAAE0, function=1, bar=0, offset=(16 << 10) - 4096),
    )


def test_a_function_without_a_page_has_no_bar() -> None:
    one = Tested(vendor=1, device=2, function=3, bar=None, offset=0)
    assert one.as_numbers() == {"vendor": 1, "device": 2, "function": 3, "bar": -1, "offset": 0}
