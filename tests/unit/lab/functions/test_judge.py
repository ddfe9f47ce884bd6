from __future__ import annotations

import pytest

from pipeline.lab.functions import report, script
from pipeline.lab.functions.dump import Dump
from pipeline.lab.functions.judge import Seen, judge
from pipeline.lab.functions.script import MIRROR
from pipeline.lab.functions.tested import Tested
from pipeline.plan.function_expectations import KINDS
from pipeline.plan.model import Check
from pipeline.verdict import Outcome
from tests.function_texts import AMD, WELL

CARD = Tested(vendor=0x1002, device=0x67EF, function=0, bar=5, offset=0x3F000)
BARE = Tested(vendor=0x1002, device=0x67EF, function=0, bar=None, offset=0)
INTEL = (
    "DMAR: [DMA Read NO_PASID] Request device [01:00.0] fault addr 0x4000000000 [fault reason 0x06] "
    "PTE Read access is not set\n"
)
SPACE = bytes.fromhex("0210ef67") + bytes(252)


def seen(*, host_log: str = AMD, end: str = "DRYBOOT-FN end", **other: str | None) -> Seen:
    lines = {**WELL, **{name.replace("_", "-"): text for name, text in other.items()}}
    said = [f"DRYBOOT-FN 0 {name} {text}" for name, text in lines.items() if text is not None]
    one = Dump(mirror=MIRROR, spaces={(1, 0): SPACE})
    return Seen(
        report=report.read("\n".join(["DRYBOOT-FN begin", *said, end])),
        dumps={script.FIRST: one, script.REBOOTED: one, script.RESTARTED: one},
        host_log=host_log,
    )


def judged(what: Seen, tested: Tested = CARD) -> dict[Check, tuple[Outcome, str]]:
    return {check: (outcome, text) for check, outcome, text in judge(0, tested, "01:00.0", what)}


def test_a_device_that_works_holds_in_everything() -> None:
    found = judged(seen())
    assert set(found) == KINDS
    assert {outcome for outcome, _ in found.values()} == {Outcome.HELD}
    assert found[Check.FUNCTION_MSI][1] == "3 of 3 MSI arrived"


@pytest.mark.parametrize(
    ("name", "text", "check", "observed"),
    [
        (
            "bars",
            "bars=1 words=9 wrong=9 bar=5 offset=0x0 wrote=0x5a read=0x0",
            Check.FUNCTION_BAR,
            "0x0 for 0x5a",
        ),
        ("intx", "raised=1 seen=0 asked=1", Check.FUNCTION_INTX, "0 of 1 INTx arrived, then none in time"),
        ("intx", "raised=3 seen=4 asked=3", Check.FUNCTION_INTX, "4 INTx arrived, 3 were raised"),
        ("msi", "raised=2 seen=1 asked=2 vectors=1", Check.FUNCTION_MSI, "1 of 2 MSI arrived"),
        ("dma_read", "status=1 length=2048 differs=64", Check.FUNCTION_DMA, "DMA read differs at byte 64"),
        ("dma_write", "status=1 length=2048 differs=0", Check.FUNCTION_DMA, "DMA write differs at byte 0"),
        ("dma_read", "status=2 length=2048 differs=0", Check.FUNCTION_DMA, "DMA read was refused"),
        ("dma_write", "status=0 length=2048 differs=0", Check.FUNCTION_DMA, "DMA write never ended"),
        (
            "blocked_read",
            "status=1 refused=0 address=0x40",
            Check.FUNCTION_BLOCKED,
            "DMA read at 0x40 was done",
        ),
        ("blocked_write", "status=2 refused=0 address=0x40", Check.FUNCTION_BLOCKED, "was refused 0 times"),
        ("reset", "ids=0xffffffff", Check.FUNCTION_RESET, "did not come back after its reset"),
        ("reset", "ids=0x1 differs=16 on=0 before=0x5eed after=0x0", Check.FUNCTION_RESET, "differs after"),
        ("reset", "ids=0x1 differs=-1 on=0 before=0x5eed after=0x5eed", Check.FUNCTION_RESET, "keep 0x5eed"),
        ("reset", "ids=0x1 differs=-1 on=0 before=0x0 after=0x0", Check.FUNCTION_RESET, "keep nothing"),
        ("error", "test=intx [Errno 19] No such device", Check.FUNCTION_INTX, "No such device"),
    ],
)
def test_what_goes_wrong_fails_that_check_alone(name: str, text: str, check: Check, observed: str) -> None:
    found = judged(seen(**{name: text}))
    failed = {one for one, (outcome, _) in found.items() if outcome is Outcome.FAILED}
    assert failed == {check}
    assert observed in found[check][1]


# A device that the kernel knows has its driver and name in front.
NAMED = "vfio-pci 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0002 address=0x4000000000 flags=0x0]\n"


@pytest.mark.parametrize("log", [AMD, INTEL, AMD * 2, NAMED])
def test_a_fault_of_the_function_is_seen(log: str) -> None:
    assert judged(seen(host_log=log))[Check.FUNCTION_FAULT][0] is Outcome.HELD


@pytest.mark.parametrize(
    ("log", "observed"),
    [
        ("", "no fault in the host's kernel log"),
        (AMD.replace("01:00.0", "01:00.1"), "faults of 01:00.1 only, none of 01:00.0"),
        (AMD.replace("01:00.0", "00:00.1"), "faults of 00:00.1 only, none of 01:00.0"),
        (INTEL.replace("01:00.0", "00:00.0"), "faults of 00:00.0 only, none of 01:00.0"),
    ],
)
def test_a_fault_of_nobody_or_of_another_fails(log: str, observed: str) -> None:
    found = judged(seen(host_log=log))
    assert found[Check.FUNCTION_FAULT] == (Outcome.FAILED, observed)


def test_qemu_s_amd_iommu_leaves_the_bus_out() -> None:
    found = judged(seen(host_log=NAMED.replace("01:00.0", "00:00.0")))[Check.FUNCTION_FAULT]
    assert found == (
        Outcome.HELD,
        "1 faults in the host's kernel log, of 00:00.0: the emulated AMD-Vi leaves out the bus",
    )


def test_linux_that_did_not_start_fails_every_test_of_its_own() -> None:
    what = Seen(report=report.read(""), dumps={}, host_log="")
    assert all(
        outcome is Outcome.FAILED and text.startswith("nothing: ") for outcome, text in judged(what).values()
    )


def test_a_program_that_stops_fails_what_it_did_not_tell() -> None:
    found = judged(seen(end="", reset=None))
    assert found[Check.FUNCTION_RESET] == (Outcome.FAILED, "nothing: the program did not come to its end")
    assert found[Check.FUNCTION_BAR][0] is Outcome.HELD


def test_a_function_that_linux_does_not_see_fails() -> None:
    found = judged(seen(absent=""))
    assert found[Check.FUNCTION_INTX] == (Outcome.FAILED, "Linux does not see the function")


def test_without_registers_only_bars_and_configuration_space_are_proven() -> None:
    found = judged(seen(), BARE)
    held = {check for check, (outcome, _) in found.items() if outcome is Outcome.HELD}
    assert held == {Check.FUNCTION_BAR, Check.FUNCTION_REBOOT, Check.FUNCTION_RESTART}


@pytest.mark.parametrize("kind", ["intx", "msi", "reset"])
def test_what_a_function_does_not_have_is_not_proven(kind: str) -> None:
    found = judged(seen(**{kind: "none=1"}))
    assert [outcome for outcome, _ in found.values()].count(Outcome.NOT_PROVEN) == 1


def test_a_boot_that_is_missing_fails_its_check() -> None:
    what = seen()
    what = Seen(
        report=what.report,
        host_log=AMD,
        dumps={name: one for name, one in what.dumps.items() if name != script.RESTARTED},
    )
    found = judged(what)
    assert found[Check.FUNCTION_RESTART][0] is Outcome.FAILED
    assert found[Check.FUNCTION_REBOOT][0] is Outcome.HELD
