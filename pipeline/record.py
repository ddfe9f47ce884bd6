"""What a run has found so far: a lab fault in the middle keeps what was found before."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.lab.run_directory import RunDirectory
from pipeline.lab.sandbox import StepDone
from pipeline.plan.model import Check, Plan
from pipeline.verdict import CheckResult, Fidelity, Listener, Outcome, StandIn

_LOGS = ("l1-serial.log", "l1.log", "devices.log")
# mkinitcpio, initramfs-tools, dracut, and a shell that cannot read a file.
_ERROR = re.compile(
    r"(==> ERROR: |E: |dracut(\[[EF]\])?: .*(ERROR|FAILED)|dracut\[[EF]\]|.*: Syntax error: )"
)


@dataclass(slots=True)
class Record:
    """Checks, stand-ins, versions, times in seconds, and logs by name, as the stages add them."""

    checks: list[CheckResult] = field(default_factory=list)
    stand_ins: list[StandIn] = field(default_factory=list)
    fidelity: list[Fidelity] = field(default_factory=list)
    replacements: tuple[str, ...] = ()
    accelerator: str = "not chosen"
    versions: dict[str, str] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Take the time of what is done in the context."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.times[name] = round(time.monotonic() - started, 2)

    def note(
        self, plan: Plan, check: Check, observed: str, listener: Listener, *, unproven_for: str = ""
    ) -> None:
        """A check made by the run itself; one that fails `unproven_for` a reason of the lab's is not proven."""
        expectation = next(one for one in plan.expectations if one.check is check)
        outcome = Outcome.HELD if observed == expectation.expected else Outcome.FAILED
        if outcome is Outcome.FAILED and unproven_for:
            outcome, observed = Outcome.NOT_PROVEN, f"{observed}; but {unproven_for}"
        result = CheckResult(expectation=expectation, outcome=outcome, observed=observed)
        self.checks.append(result)
        listener.check(result)

    def skip_rest(self, plan: Plan, fault: str) -> None:
        """Every expectation appears in the verdict: what was not checked says why."""
        done = {result.expectation.id for result in self.checks}
        why = "the lab failed before" if fault else "not tried: the host stage failed"
        self.checks += [
            CheckResult(expectation=one, outcome=Outcome.SKIPPED, observed=why)
            for one in plan.expectations
            if one.id not in done
        ]


def ended(done: StepDone) -> str:
    """How a tool ended, with its errors: some leave status 0 (ran: mkinitcpio, dracut)."""
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    if not done.status and not errors:
        return "exit status 0"
    return f"exit status {done.status}: " + "; ".join(errors or lines[-3:])


def keep_logs(directory: RunDirectory, logs: Path) -> None:
    """Copy what L1, QEMU and the device server have said out of the run directory."""
    logs.mkdir(parents=True, exist_ok=True)
    for name in _LOGS:
        source = directory.path / name
        if source.exists():
            shutil.copyfile(source, logs / name)
