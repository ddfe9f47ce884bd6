from __future__ import annotations

from pipeline.hardware import processor

CPU = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: X\n\nprocessor\t: 1\nvendor_id\t: AuthenticAMD\n"


def test_a_processor() -> None:
    assert processor.vendor(CPU) == "amd"
    assert processor.vendor(CPU.replace("AuthenticAMD", "GenuineIntel")) == "intel"
    assert processor.threads(CPU) == 2


def test_one_that_is_not_known() -> None:
    assert processor.vendor("vendor_id : CentaurHauls") is None
    assert processor.vendor("") is None
    assert processor.threads("") is None


def test_memory() -> None:
    assert processor.memory("MemTotal:       32829524 kB\nMemFree: 1 kB\n") == 32829524 * 1024
    assert processor.memory("MemFree: 1 kB\n") is None
