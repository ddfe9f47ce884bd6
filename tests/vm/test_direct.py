"""Two cells of the fast lane: one whose QEMU cannot have the functions, and one that has them."""

from __future__ import annotations

import psutil
import pytest

from pipeline.errors import LabFault
from pipeline.lab import cache, direct, releases
from pipeline.plan import resolve
from pipeline.render.domain import domain_xml
from pipeline.scenario import read

pytestmark = pytest.mark.vm

PLAN = resolve(read("rx560"))
XML = domain_xml(PLAN)


def boot(name: str, machine: str, **options: float) -> direct.DirectRun:
    (release,) = releases.find([name], print)
    before = set(cache.runs().glob("*")) if cache.runs().is_dir() else set()
    try:
        return direct.boot(PLAN, XML, release, machine, **options)
    finally:
        mine = {child.name() for child in psutil.Process().children(recursive=True)}
        assert not mine & {"qemu-system-x86", "ld-linux-x86-64", "python"}
        left = {path for path in cache.runs().glob("*") if path.name.startswith(f"{psutil.Process().pid}-")}
        assert left <= before


def test_a_release_without_vfio_user_leaves_the_functions_out_and_says_so() -> None:
    run = boot("7.2", "pc-q35-4.0")
    checks = {check.name: check for check in run.checks}
    assert run.held, run
    # What Debian 12's OVMF calls itself, and no newer one does.
    assert checks["firmware"].observed == "OVMF (EFI Development Kit II / OVMF 0.0.0)"
    assert checks["machine"].observed == "pc-q35-4.0"
    assert "this QEMU has no vfio-user-pci" in checks["function[01:00.0]"].observed
    assert "<hostdev> 01:00.1 left out: this QEMU has no vfio-user-pci" in run.stand_ins
    assert run.sighting is not None
    assert "pci/01:00.0" not in run.sighting.memory


def test_a_release_with_it_shows_both_functions_behind_their_port_twice_the_same() -> None:
    run, again = (boot("11.1", "pc-q35-9.2") for _ in range(2))
    checks = {check.name: check for check in run.checks}
    assert run.held, run
    assert checks["function[01:00.0]"].observed == "1002:67ef as 01:00.0 behind its root port"
    assert checks["function[01:00.1]"].observed == "1002:aae0 as 01:00.1 behind its root port"
    assert run.sighting is not None
    assert again.sighting is not None
    assert run.sighting.memory["pci/01:00.0"][:4] == bytes.fromhex("0210ef67")
    assert run.sighting.serial == again.sighting.serial
    assert list(run.sighting.memory) == list(again.sighting.memory)


def test_an_alias_means_the_releases_newest_and_a_removed_type_fails_in_libvirts_words() -> None:
    (release,) = releases.find(["11.1"], print)
    assert release.versioned("q35") == "pc-q35-11.1"
    run = boot("11.1", "pc-q35-3.1")
    assert [(check.name, check.held) for check in run.checks] == [("qemu-started", False)]
    assert "does not support machine type 'pc-q35-3.1'" in run.checks[0].observed


def test_no_answer_at_the_deadline_is_a_lab_fault() -> None:
    with pytest.raises(LabFault, match="not come to its end in 1 s"):
        boot("10.0", "pc-q35-10.0", deadline=1)
