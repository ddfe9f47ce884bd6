"""The function tests as a part of the guest stage: what the guest gets for them, and their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.lab.cache import Progress
from pipeline.lab.functions import dump, judge, report, script
from pipeline.lab.functions.medium import Linux
from pipeline.lab.functions.tested import Tested, under_test
from pipeline.lab.functions.tree import tree
from pipeline.plan.function_expectations import KINDS
from pipeline.plan.model import Check, Plan
from pipeline.verdict import CheckResult, Outcome

# A boot of the firmware and one of Linux, or two boots of the firmware.
SECONDS = {"tcg": 1200, "kvm": 240}
# How long any answer of a function may take.
PATIENCE = {"tcg": 30.0, "kvm": 5.0}


def linux(plan: Plan, accelerator: str, progress: Progress) -> Linux | None:
    """What the guest boots to test its functions, None where the plan expects nothing of that.

    Raises LabFault where it cannot be had.
    """
    if not any(one.check in KINDS for one in plan.expectations):
        return None
    return Linux(tree=tree(progress), functions=under_test(plan), patience=PATIENCE[accelerator])


def results(
    plan: Plan, functions: Sequence[Tested], texts: tuple[str, str], *, host_log: str, not_again: str = ""
) -> Iterator[CheckResult]:
    """A result for each expectation about the functions, which are those of `plan.passed` in the same order.

    `texts` are the serial logs of the guest's two runs, `host_log` is the host's kernel log after them;
    `not_again` says why there was no second one.
    """
    first, again = (dump.read(text) for text in texts)
    dumps = {name: found for name, found in first.items() if name == script.FIRST}
    dumps |= {name: found for name, found in again.items() if name != script.FIRST}
    seen = judge.Seen(report=report.read(texts[0]), dumps=dumps, host_log=host_log)
    wanted = {one.id: one for one in plan.expectations}
    for number, (function, one) in enumerate(zip(plan.passed, functions, strict=True)):
        for check, outcome, observed in judge.judge(number, one, str(function.address), seen):
            if not_again and check is Check.FUNCTION_RESTART:
                outcome, observed = Outcome.FAILED, not_again
            elif not_again and check is Check.FUNCTION_REBOOT:
                outcome, observed = Outcome.SKIPPED, "not tried: the guest was not there again"
            expectation = wanted[f"{check.value}[{function.address}]"]
            yield CheckResult(expectation=expectation, outcome=outcome, observed=observed)
