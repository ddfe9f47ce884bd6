"""Verifies every shipped scenario and compares each verdict with what its file states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline import scenario as scenarios
from pipeline.batch import Batch, Job, Ran
from pipeline.errors import ExitCode
from pipeline.scenario.loader import SHIPPED
from pipeline.verdict import Compared


def names() -> tuple[str, ...]:
    """The shipped scenarios."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def verify_all(output: Path, options: Sequence[str]) -> Iterator[Compared]:
    """Verify the shipped scenarios, their bundles and reports in `output`/NAME; each as soon as it is done.

    A scenario that shows a mistake is booted although lint names it.
    """
    jobs = [Job(name=name, scenario=name, options=tuple(options)) for name in names()]
    for ran in Batch(output).run(jobs):
        yield _compared(ran)


def _compared(ran: Ran) -> Compared:
    failing = {one.check: one.because for one in scenarios.read(ran.job.scenario).scenario.expect.failing}
    failed = tuple(check["id"] for check in ran.verdict.get("checks", ()) if check["outcome"] == "failed")
    return Compared(
        name=ran.job.name,
        status=ran.status,
        seconds=float(ran.verdict.get("seconds", {}).get("total", 0)),
        failing=failed,
        difference=difference(ran.status, failed, tuple(failing)),
    )


def difference(status: int, failed: Sequence[str], wanted: Sequence[str]) -> str:
    """How a run differs from what its scenario states: the checks that must fail, or none."""
    if status not in {ExitCode.HELD, ExitCode.FAILED}:
        return f"no verdict: exit status {status}"
    missing = [one for one in wanted if one not in failed]
    if missing:
        return f"{', '.join(missing)} had to fail and did not"
    if not wanted and failed:
        return f"{', '.join(failed)} failed"
    return "" if bool(wanted) == bool(status) else f"exit status {status}"
