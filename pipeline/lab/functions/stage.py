"""The results of the function tests, from what the guest said in its two runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.lab.functions import dump, judge, report, script
from pipeline.lab.functions.tested import Tested
from pipeline.plan.model import Check, Plan
from pipeline.verdict import CheckResult, Outcome

# Two boots of the firmware and one of Linux.
SECONDS = {"tcg": 1200, "kvm": 240}
# How long any answer of a function may take.
PATIENCE = {"tcg": 30.0, "kvm": 5.0}


def results(
    plan: Plan, functions: Sequence[Tested], texts: tuple[str, str], *, host_log: str, not_again: str = ""
) -> Iterator[CheckResult]:
    """A result for each expectation about the functions, which are those of `plan.passed` in the same order.

    `texts` are the serial logs of the guest's two runs, `host_log` is the host's kernel log after them;
    `not_again` says why there was no second one.
    """
    first, again = (dump.read(text) for text in texts)
    dumps = {name: found for name, found in first.items() if name != script.RESTARTED}
    dumps |= {name: found for name, found in again.items() if name == script.RESTARTED}
    seen = judge.Seen(report=report.read(texts[0]), dumps=dumps, host_log=host_log)
    wanted = {one.id: one for one in plan.expectations}
    for number, (function, tested) in enumerate(zip(plan.passed, functions, strict=True)):
        for check, outcome, observed in judge.judge(number, tested, str(function.address), seen):
            if check is Check.FUNCTION_RESTART and not_again:
                outcome, observed = Outcome.FAILED, not_again
            expectation = wanted[f"{check.value}[{function.address}]"]
            yield CheckResult(expectation=expectation, outcome=outcome, observed=observed)
