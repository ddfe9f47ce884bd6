"""What the program and the firmware saw of a function, against what must hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.lab.functions import dump, script
from pipeline.lab.functions.program import TIMES
from pipeline.lab.functions.report import Report
from pipeline.lab.functions.tested import Tested
from pipeline.pci import IdPair
from pipeline.plan.model import Check
from pipeline.verdict import Outcome

_DONE, _REFUSED = 1, 2
_STATUS = {0: "never ended", _DONE: "was done", _REFUSED: "was refused"}
# As Linux logs what an IOMMU refuses: drivers/iommu/amd/iommu.c (with the device's driver and name in front where it
# knows the device), drivers/iommu/intel/dmar.c.
_ADDRESS = r"(?:[0-9a-f]{4}:)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])"
_FAULTS = (
    re.compile(rf"{_ADDRESS}: AMD-Vi: Event logged \[IO_PAGE_FAULT "),
    re.compile(rf"AMD-Vi: Event logged \[IO_PAGE_FAULT device={_ADDRESS}"),
    re.compile(rf"DMAR: \[DMA (?:Read|Write)[^]]*\] Request device \[{_ADDRESS}\] fault addr"),
)
# QEMU's AMD-Vi leaves the bus out (hw/i386/amd_iommu.c amdvi_page_fault(); ran, 11.1).
_NO_BUS = "00"

Judged = tuple[Outcome, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """All that a run told: the program's report, the dumps of the three boots, and the host's kernel log."""

    report: Report
    dumps: Mapping[str, dump.Dump]
    host_log: str


def judge(number: int, tested: Tested, address: str, seen: Seen) -> Iterator[tuple[Check, Outcome, str]]:
    """The outcome of each check of function `number`, which is at `address` on the host."""
    tests: dict[Check, tuple[str, Callable[[int, Report], Judged]]] = {
        Check.FUNCTION_BAR: ("bars", _bars),
        Check.FUNCTION_INTX: ("intx", _intx),
        Check.FUNCTION_MSI: ("msi", _msi),
        Check.FUNCTION_DMA: ("dma", _dma),
        Check.FUNCTION_BLOCKED: ("blocked", _blocked),
        Check.FUNCTION_RESET: ("reset", _reset),
    }
    for check, (test, judged) in tests.items():
        yield check, *_told(number, tested, test, seen.report, judged)
    yield Check.FUNCTION_FAULT, *_fault(number, tested, address, seen)
    for check, boot in ((Check.FUNCTION_REBOOT, script.REBOOTED), (Check.FUNCTION_RESTART, script.RESTARTED)):
        yield check, *_same(tested, seen.dumps, boot)


def _told(
    number: int, tested: Tested, test: str, report: Report, judged: Callable[[int, Report], Judged]
) -> Judged:
    if not report.began:
        return Outcome.FAILED, "nothing: Linux did not start in the guest"
    if report.of(number, "absent"):
        return Outcome.FAILED, "Linux does not see the function"
    if tested.bar is None and test != "bars":
        return Outcome.NOT_PROVEN, "the emulated function has no memory BAR with room for its registers"
    if error := report.error(number, test):
        return Outcome.FAILED, error
    return judged(number, report)


def _held(held: bool) -> Outcome:
    return Outcome.HELD if held else Outcome.FAILED


def _missing(report: Report) -> Judged:
    return Outcome.FAILED, "not told" if report.complete else "nothing: the program did not come to its end"


def _bars(number: int, report: Report) -> Judged:
    told = report.of(number, "bars")
    if told is None:
        return _missing(report)
    words, wrong = told.number("words"), told.number("wrong")
    if not words:
        return Outcome.NOT_PROVEN, "the function has no memory BAR"
    if not wrong:
        return Outcome.HELD, f"{words} of {words} words of {told.number('bars')} BARs read back as written"
    names = ("bar", "offset", "wrote", "read")
    bar, offset, wrote, read = (told.fields.get(name, "?") for name in names)
    return (
        Outcome.FAILED,
        f"{wrong} of {words} words differ, the first in BAR {bar} at {offset}: {read} for {wrote}",
    )


def _intx(number: int, report: Report) -> Judged:
    return _interrupts(number, report, "intx", "INTx")


def _msi(number: int, report: Report) -> Judged:
    return _interrupts(number, report, "msi", "MSI")


def _interrupts(number: int, report: Report, kind: str, name: str) -> Judged:
    told = report.of(number, kind)
    if told is None:
        return _missing(report)
    if "none" in told.fields:
        return Outcome.NOT_PROVEN, f"the function has no {name}"
    raised, seen = told.number("raised"), told.number("seen")
    if seen > raised:
        return Outcome.FAILED, f"{seen} {name} arrived, {raised} were raised"
    if seen < raised:
        return Outcome.FAILED, f"{seen} of {raised} {name} arrived, then none in time"
    return _held(raised == TIMES), f"{seen} of {TIMES} {name} arrived"


def _dma(number: int, report: Report) -> Judged:
    told = [report.of(number, f"dma-{way}") for way in ("read", "write")]
    sizes = []
    for way, one in zip(("read", "write"), told, strict=True):
        if one is None:
            return _missing(report)
        if one.number("status") != _DONE:
            return Outcome.FAILED, f"DMA {way} {_STATUS.get(one.number('status'), 'ended oddly')}"
        if one.number("differs") >= 0 or "differs" not in one.fields:
            return Outcome.FAILED, f"DMA {way} differs at byte {one.number('differs')}"
        sizes.append(one.number("length"))
    return Outcome.HELD, f"{sizes[0]} bytes read and {sizes[1]} written as they should be"


def _blocked(number: int, report: Report) -> Judged:
    for way in ("read", "write"):
        told = report.of(number, f"blocked-{way}")
        if told is None:
            return _missing(report)
        status, address = told.number("status"), told.fields.get("address", "?")
        if status != _REFUSED:
            return Outcome.FAILED, f"DMA {way} at {address} {_STATUS.get(status, 'ended oddly')}"
        if told.number("refused") != 1:
            return Outcome.FAILED, f"DMA {way} at {address} was refused {told.number('refused')} times"
    return Outcome.HELD, "DMA outside the guest's memory was refused, read and write"


def _reset(number: int, report: Report) -> Judged:
    told = report.of(number, "reset")
    if told is None:
        return _missing(report)
    if "none" in told.fields:
        return Outcome.NOT_PROVEN, "the function has no function level reset"
    if "differs" not in told.fields:
        return (
            Outcome.FAILED,
            f"did not come back after its reset: its ids read {told.fields.get('ids', '?')}",
        )
    if told.number("differs") >= 0:
        return Outcome.FAILED, f"configuration space differs after the reset at {told.number('differs'):#04x}"
    if told.number("before") == 0:
        return Outcome.FAILED, "its registers keep nothing, so a reset does not show"
    if told.number("on") or told.number("after"):
        return Outcome.FAILED, f"its registers keep {told.fields.get('after', '?')} over a reset"
    return Outcome.HELD, "back after a function level reset, its registers as new"


def _fault(number: int, tested: Tested, address: str, seen: Seen) -> Judged:
    report = seen.report
    told = _told(number, tested, "blocked", report, _blocked)
    if told[0] is Outcome.NOT_PROVEN or report.of(number, "blocked-read") is None:
        return told
    requesters = [match[1] for fault in _FAULTS for match in fault.finditer(seen.host_log)]
    if own := requesters.count(address):
        return Outcome.HELD, f"{own} faults of {address} in the host's kernel log"
    shortened = f"{_NO_BUS}{address[address.index(':') :]}"
    if ("AMD-Vi" in seen.host_log) and (own := requesters.count(shortened)):
        return (
            Outcome.HELD,
            f"{own} faults in the host's kernel log, of {shortened}: the emulated AMD-Vi leaves out the bus",
        )
    if requesters:
        return Outcome.FAILED, f"faults of {', '.join(sorted(set(requesters)))} only, none of {address}"
    return Outcome.FAILED, "no fault in the host's kernel log"


def _same(tested: Tested, dumps: Mapping[str, dump.Dump], boot: str) -> Judged:
    first = dumps.get(script.FIRST)
    if first is None:
        return Outcome.FAILED, "nothing: the first boot did not come to its end"
    ids = IdPair(tested.vendor, tested.device)
    held, observed = dump.difference(first, dumps.get(boot), ids, tested.function)
    return _held(held), observed
