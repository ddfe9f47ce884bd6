from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.lab.direct_checks import compare, refused
from pipeline.lab.direct_domain import for_direct
from pipeline.lab.payload import GuestFunction, Report
from pipeline.pci import Address, IdPair
from pipeline.plan import resolve
from pipeline.render.domain import domain_xml
from pipeline.scenario import read

PLAN = resolve(read("rx560"))
SOCKETS = {Address(0, 1, 0, number): f"fn-01-00-{number}.sock" for number in (0, 1)}
WITH, WITHOUT = (
    for_direct(
        domain_xml(PLAN),
        machine="pc-q35-9.2",
        firmware="OVMF",
        sockets=SOCKETS,
        left_out=left_out,
        accelerator="tcg",
    )
    for left_out in ((), ("vfio-user-pci",))
)
CARD = GuestFunction(bus=1, device=0, function=0, ids=IdPair(0x1002, 0x67EF))
SOUND = GuestFunction(bus=1, device=0, function=1, ids=IdPair(0x1002, 0xAAE0))
GOOD = Report(
    complete=True,
    firmware="Debian distribution of EDK II 2025.02",
    machine="pc-q35-9.2",
    functions=(CARD, SOUND),
    port_buses=(1, 2, 3, 4, 5),
)


def checks(report=GOOD, domain=WITH):
    return {one.name: one for one in compare(PLAN, "pc-q35-9.2", domain, report)}


def test_a_good_boot_holds_everywhere():
    found = checks()
    assert list(found) == [
        "qemu-started",
        "booted",
        "firmware",
        "machine",
        "function[01:00.0]",
        "function[01:00.1]",
    ]
    assert all(one.held for one in found.values())
    assert found["function[01:00.1]"].observed == "1002:aae0 as 01:00.1 behind its root port"


@pytest.mark.parametrize(
    ("report", "fails", "observed"),
    [
        (replace(GOOD, firmware="SeaBIOS 1.16"), "firmware", "SeaBIOS 1.16"),
        (replace(GOOD, firmware=""), "firmware", "nothing"),
        (replace(GOOD, machine="pc-q35-9.1"), "machine", "pc-q35-9.1"),
        (replace(GOOD, functions=(CARD,)), "function[01:00.1]", "not seen (behind ports: 1002:67ef)"),
        (replace(GOOD, functions=(CARD, replace(SOUND, bus=2))), "function[01:00.1]", "1002:aae0 as 02:00.1"),
        (
            replace(GOOD, functions=(CARD, replace(SOUND, function=2))),
            "function[01:00.1]",
            "1002:aae0 as 01:00.2",
        ),
    ],
)
def test_each_check_can_fail(report, fails, observed):
    found = checks(report)
    assert {name for name, one in found.items() if not one.held} == {fails}
    assert found[fails].observed == observed


def test_a_function_behind_another_port_is_not_at_its_place():
    found = checks(replace(GOOD, port_buses=(2, 1, 3, 4, 5)))
    assert {name for name, one in found.items() if not one.held} == {"function[01:00.0]", "function[01:00.1]"}


def test_what_the_release_cannot_have_is_said_and_its_port_looked_at():
    found = checks(replace(GOOD, functions=()), WITHOUT)
    assert found["function[01:00.0]"].held
    assert found["function[01:00.0]"].observed.startswith("left out: this QEMU has no vfio-user-pci; bus 01")


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (replace(GOOD, functions=(), port_buses=()), "no bus"),
        (replace(GOOD, functions=(CARD,)), "1002:67ef"),
    ],
)
def test_its_port_has_to_be_there_and_empty(report, says):
    found = checks(report, WITHOUT)["function[01:00.0]"]
    assert not found.held
    assert says in found.observed


def test_a_firmware_with_nothing_to_boot_says_nothing_of_the_rest():
    found = checks(None)
    assert [(name, one.held) for name, one in found.items()] == [("qemu-started", True), ("booted", False)]


def test_a_refusal_is_in_qemus_words():
    (found,) = refused("unsupported machine type")
    assert (found.name, found.held, found.observed) == ("qemu-started", False, "unsupported machine type")
