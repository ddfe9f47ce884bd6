"""The verdict as JUnit XML, one test case a check."""

from __future__ import annotations

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from pipeline.plan.model import Stage
from pipeline.report.plain import plain
from pipeline.verdict import CheckResult, Outcome, Verdict


def data(verdict: Verdict) -> bytes:
    """The document. A lab fault is an error, never a failure."""
    document = JUnitXml("dryboot")
    for stage in Stage:
        suite = TestSuite(f"{verdict.scenario}.{stage.value}")
        suite.add_testcases([_case(check) for check in verdict.checks if check.expectation.stage is stage])
        document.add_testsuite(suite)
    if verdict.fault:
        suite = TestSuite(f"{verdict.scenario}.lab")
        case = TestCase("lab", classname="dryboot.lab")
        case.result = [Error(plain(verdict.fault).splitlines()[0], "LabFault")]
        suite.add_testcase(case)
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    written: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return written


def _case(check: CheckResult) -> TestCase:
    expectation = check.expectation
    case = TestCase(expectation.id, classname=f"dryboot.{expectation.stage.value}", time=check.seconds)
    observed = plain(check.observed if isinstance(check.observed, str) else " ".join(check.observed))
    expected = (
        expectation.expected if isinstance(expectation.expected, str) else " ".join(expectation.expected)
    )
    if check.outcome is Outcome.FAILED:
        failure = Failure(f"expected {expected}, observed {observed}", "check")
        failure.text = plain(
            f"{expectation.place}: {expectation.place.text}\n{expectation.why}\nfix: {expectation.fix}"
        )
        case.result = [failure]
    elif check.outcome in {Outcome.SKIPPED, Outcome.NOT_PROVEN}:
        case.result = [Skipped(observed)]
    return case
