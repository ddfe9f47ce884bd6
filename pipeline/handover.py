"""Watches a host that hands its card over when the guest starts: while the guest runs, and when it has ended."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from testinfra.host import Host

from pipeline.checks import handover
from pipeline.checks.run import run_checks
from pipeline.errors import LabFault
from pipeline.plan.model import AFTERWARDS, WHILE_RUNNING, Check, Expectation
from pipeline.verdict import CheckResult, Outcome

_NO_CONSOLE = "the host in the lab had no frame buffer console before the guest started"
_NOT_LASTING = (
    "the host in the lab had only the frame buffer of the firmware, which vfio-pci removes for good; the card's own "
    "driver makes another one on the host"
)


class Watcher:
    """Compares the host with the plan's expectations at both moments.

    `before` is what the script of `pipeline.checks.handover` said before the guest started: a console that was never
    there, or cannot come back, proves nothing. Raises LabFault where it says nothing.
    """

    def __init__(self, host: Host, expectations: Sequence[Expectation], *, before: str) -> None:
        self._host = host
        self._expectations = expectations
        try:
            seen = handover.read(before)
        except ValueError as error:
            raise LabFault(f"the host's consoles could not be looked at: {error}") from error
        self._unproven = {
            **({} if seen.consoles else {Check.SCREEN_FREED: _NO_CONSOLE}),
            **({} if seen.consoles and seen.lasting else {Check.SCREEN_BACK: _NOT_LASTING}),
        }

    def running(self) -> Sequence[CheckResult]:
        """What must hold while the guest runs."""
        return tuple(self._results(WHILE_RUNNING))

    def ended(self) -> Sequence[CheckResult]:
        """What must hold when libvirt is through with the guest."""
        return tuple(self._results(AFTERWARDS))

    def _results(self, checks: Collection[Check]) -> Iterator[CheckResult]:
        wanted = [one for one in self._expectations if one.check in checks]
        made = [one for one in wanted if one.check not in self._unproven]
        yield from run_checks(self._host, made, progress=lambda _: None)
        for one in wanted:
            if one.check in self._unproven:
                yield CheckResult(
                    expectation=one, outcome=Outcome.NOT_PROVEN, observed=self._unproven[one.check]
                )
