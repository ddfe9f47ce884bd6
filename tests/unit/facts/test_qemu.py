from __future__ import annotations

from pipeline.facts.qemu import packaged
from pipeline.facts.version import parts
from pipeline.lab import toolchain


def test_each_release_is_named_once_oldest_first_and_has_its_firmware() -> None:
    releases = packaged()
    names = [one.name for one in releases]
    assert names == sorted(set(names), key=parts)
    for one in releases:
        assert {"qemu-system-x86", "ovmf"} <= set(one.packages)
        assert one.suites
        assert one.source


def test_the_newest_is_the_labs_own_so_that_it_is_prepared_once() -> None:
    newest = packaged()[-1]
    assert (newest.suites, newest.packages) == (toolchain.OWN.suites, toolchain.OWN.packages)
