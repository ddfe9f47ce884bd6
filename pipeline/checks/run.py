"""Runs the checks with pytest over a testinfra host and collects what they found."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import cast

import pytest
from testinfra.host import Host

from pipeline.checks import handover
from pipeline.checks.observation import Observation, observe
from pipeline.errors import LabFault
from pipeline.plan.model import Expectation
from pipeline.verdict import CheckResult, Observed, Outcome

_FOLDER = Path(__file__).resolve().parent


@dataclass(slots=True)
class _Collector:
    """A pytest plugin: gives the checks their host and expectations, and takes the results."""

    host: Host
    expectations: Sequence[Expectation]
    progress: Callable[[CheckResult], None]
    results: list[CheckResult] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    observed: dict[str, Observed] = field(default_factory=dict)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "expectation" in metafunc.fixturenames:
            metafunc.parametrize("expectation", self.expectations, ids=[one.id for one in self.expectations])

    @pytest.fixture(scope="session")
    def seen(self) -> Iterator[Observation]:
        """The host as it is, looked at once."""
        yield observe(self.host)

    @pytest.fixture(scope="session")
    def screen(self) -> Callable[[], handover.Seen]:
        """Looks at what shows on the card, once and only if a check asks."""
        return cache(lambda: handover.look(self.host))

    @pytest.fixture
    def record(self, expectation: Expectation) -> Callable[[Observed], None]:
        """Notes what was observed, also of a check that holds."""

        def note(observed: Observed) -> None:
            self.observed[expectation.id] = observed

        return note

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Function, call: pytest.CallInfo[None]) -> Iterator[None]:
        yield
        expectation = cast("Expectation", item.callspec.params["expectation"])
        if call.excinfo is not None and not (
            call.when == "call" and call.excinfo.errisinstance(AssertionError)
        ):
            self.broken.append(f"{expectation.id}: {call.excinfo.exconly()}")
        elif call.when == "call":
            result = CheckResult(
                expectation=expectation,
                outcome=Outcome.HELD if call.excinfo is None else Outcome.FAILED,
                observed=self.observed.get(expectation.id, ""),
                seconds=call.duration,
            )
            self.results.append(result)
            self.progress(result)


def run_checks(
    host: Host, expectations: Sequence[Expectation], *, progress: Callable[[CheckResult], None]
) -> tuple[CheckResult, ...]:
    """Check `expectations` on `host`, in their order.

    Raises LabFault where a check could not be made: that says nothing about the host.
    """
    collector = _Collector(host=host, expectations=expectations, progress=progress)
    arguments = [
        *("--rootdir", str(_FOLDER), "-c", "/dev/null", "--import-mode=importlib", "--noconftest"),
        *("-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:testinfra", "-p", "no:hypothesispytest"),
        *("-p", "no:xdist", "-p", "no:logging", "-p", "no:randomly", "--assert=plain"),
        str(_FOLDER / "test_host.py"),
    ]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = pytest.main(arguments, plugins=[collector])
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if collector.broken:
        raise LabFault("checks could not be made:\n" + "\n".join(dict.fromkeys(collector.broken)))
    if len(collector.results) != len(expectations):
        raise LabFault(
            f"{len(collector.results)} of {len(expectations)} checks were made:\n{said.getvalue()[-2000:]}"
        )
    return tuple(collector.results)
