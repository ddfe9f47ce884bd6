"""The task `matrix`, with lanes that are played."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.errors import BadInput
from pipeline.lab.cache import Progress
from pipeline.matrix import command
from pipeline.matrix.machine_types import ReleaseTypes, by_facts
from pipeline.matrix.options import Options
from pipeline.scenario.loader import SHIPPED
from tests.unit.matrix.conftest import plays

OWN = "pc-q35-9.2"


class Run:
    """The task in a directory with a scenario of its own, and what it printed."""

    def __init__(self, base: Path, notes: Path) -> None:
        self.base = base
        self._notes = notes
        self.stream = io.StringIO()
        (base / "mine.yaml").write_text((SHIPPED / "rx560.yaml").read_text())
        self.options: dict[str, Any] = {"scenario": "mine.yaml", "qemu": "10.0,11.1", "machines": "9.2,8.0"}

    def __call__(self, **options: Any) -> int:
        self.stream = io.StringIO()
        given = Options(**{**self.options, **options})
        console = Console(file=self.stream, width=200)
        return command.run(given, console, base=self.base, lanes="tests.matrix_lanes:BY_TYPE", source=source)

    @property
    def said(self) -> str:
        return self.stream.getvalue()

    def ran(self) -> Counter[str]:
        """How often each cell was run since the last call."""
        words = Counter(line.split()[0] for line in self._notes.read_text().splitlines())
        self._notes.write_text("")
        return words

    def report(self, folder: str = "build/matrix/rx560/report") -> dict[str, Any]:
        return dict(json.loads((self.base / folder / "matrix.json").read_text()))


def source(names: Sequence[str], progress: Progress) -> tuple[ReleaseTypes, ...]:
    return tuple(by_facts(name) for name in names or ("7.2",))


@pytest.fixture
def run(tmp_path: Path, notes: Path) -> Run:
    return Run(tmp_path, notes)


@pytest.mark.usefixtures("nothing_left")
def test_cells_are_run_once_and_taken_from_the_journal_after_that(run: Run) -> None:
    assert run() == 0
    cells = {f"fast-{qemu}-pc-q35-{version}": 1 for qemu in ("10.0", "11.1") for version in ("8.0", "9.2")}
    assert run.ran() == cells
    assert "4/4" in run.said
    assert {path.name for path in (run.base / "build/matrix/rx560/report").iterdir()} == {
        "matrix.json",
        "matrix.md",
        "junit.xml",
    }
    assert run() == 0
    assert run.ran() == {}
    assert run.said.count("from before") == 4
    assert run(machines="9.2,8.0,8.1") == 0
    assert run.ran() == {"fast-10.0-pc-q35-8.1": 1, "fast-11.1-pc-q35-8.1": 1}
    assert run(fresh=True) == 0
    assert run.ran() == cells


def test_a_change_of_the_scenario_runs_it_again(run: Run) -> None:
    run.options["qemu"] = "11.1"
    assert run(machines="9.2") == 0
    run.ran()
    path = run.base / "mine.yaml"
    path.write_text(path.read_text().replace("memory: 8 GiB", "memory: 6 GiB"))
    assert run(machines="9.2") == 0
    assert run.ran() == {"fast-11.1-pc-q35-9.2": 1}


def test_the_exit_status_says_what_counts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, {"pc-q35-8.0": "fails"})
    assert run() == 0
    plays(monkeypatch, {"pc-q35-8.0": "faults"})
    assert run(fresh=True) == 3
    assert "no QEMU today" in run.said
    plays(monkeypatch, {"fast-11.1-pc-q35-9.2": "fails", "pc-q35-8.0": "faults"})
    assert run(fresh=True) == 1
    assert "fails: pc-q35-9.2 on QEMU 11.1, fast: firmware: nothing on the console" in run.said


def test_a_lab_fault_is_run_again_and_what_was_found_is_not(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plays(monkeypatch, {"pc-q35-8.0": "faults", "pc-q35-9.2": "fails"})
    assert run(qemu="10.0") == 1
    plays(monkeypatch, {})
    run.ran()
    assert run(qemu="10.0") == 1
    assert run.ran() == {"fast-10.0-pc-q35-8.0": 1}


def test_a_baseline_is_kept_and_compared_with(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(accept=True) == 0
    names = sorted(path.name for path in (run.base / "baselines/mine").iterdir())
    assert names == [
        f"fast-{qemu}-pc-q35-{version}.json" for qemu in ("10.0", "11.1") for version in ("8.0", "9.2")
    ]
    assert run() == 0
    assert {one["compared"] for one in run.report()["cells"]} == {"same"}
    plays(monkeypatch, {"fast-11.1-pc-q35-8.0": "fails"})
    assert run(fresh=True) == 1
    assert "changed and breaks" in run.said


def test_another_release_s_baseline_is_compared_with(run: Run) -> None:
    assert run(qemu="10.0", machines="9.2,3.1", accept=True) == 0
    assert run(qemu="11.1", machines="9.2,3.1", against="10.0") == 0
    states = {one["cell"]["machine"]: one["state"] for one in run.report()["comparison"]["cells"]}
    assert states == {"pc-q35-9.2": "same", "pc-q35-3.1": "machine type gone"}
    with pytest.raises(BadInput, match=r"there is no baseline of 9\.1"):
        run(against="9.1")


def test_a_proposal_is_shown_and_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, {"pc-q35-11.1": "fails"})
    assert run(machines="9.2,10.0,11.1", propose=True) == 0
    assert "+  machine: pc-q35-10.0" in run.said
    folder = run.base / "build/matrix/rx560/report/proposal"
    old = (run.base / "mine.yaml").read_text()
    assert (folder / "mine.yaml").read_text() == old.replace("machine: pc-q35-9.2", "machine: pc-q35-10.0")
    (domain,) = folder.glob("*.xml")
    assert "pc-q35-10.0" in domain.read_text()
    assert run(machines="9.2", propose=True) == 0
    assert "nothing to change" in run.said
    plays(monkeypatch, {"pc-q35-9.2": "fails"})
    assert run(machines="9.2", propose=True, fresh=True) == 1
    assert "none is proposed" in run.said


def test_shards_and_their_merger_are_the_whole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, {"fast-10.0-pc-q35-8.0": "fails"})
    assert run() == 0
    whole = run.report()
    run.ran()
    for number in (1, 2, 3):
        assert run(shard=f"{number}/3", output=f"part-{number}") == 0
    assert set(run.ran().values()) == {1}
    given = {"scenario": "mine.yaml", "merge": "part-1,part-2,part-3", "report": "merged"}
    merger = Run(run.base, run.base / "notes")
    merger.options = given
    assert merger() == 0
    both = [whole, merger.report("merged")]
    for one in both:
        for each in one["cells"]:
            del each["seconds"]
    assert both[0] == both[1]
    assert merger(merge="part-1,part-3") == 3
    with pytest.raises(BadInput, match="is of another scenario"):
        merger(settings=("guest.memory=6 GiB",))
    assert merger.ran() == {}


def test_the_installed_qemu_is_the_default(run: Run) -> None:
    assert run(qemu="", machines="7.2") == 0
    assert run.ran() == {"fast-7.2-pc-q35-7.2": 1}


def test_everything_is_checked_before_anything_runs(run: Run) -> None:
    for options, said in (
        ({"scenario": "none.yaml"}, "no scenario 'none.yaml'"),
        ({"settings": ("guest.machine=x",)}, "machine"),
        ({"lane": "slow"}, "there is no lane"),
        ({"machines": "9.99"}, "no QEMU release has"),
    ):
        with pytest.raises(BadInput, match=said):
            run(**options)
    (run.base / "build/matrix/rx560/report").mkdir(parents=True)
    (run.base / "build/matrix/rx560/report/mine").touch()
    with pytest.raises(BadInput, match="which no report has"):
        run()
    assert run.ran() == {}


def test_a_lane_that_is_not_there_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(**{**run.options, "lane": "nested"})
    with pytest.raises(BadInput, match="the nested lane is not there"):
        command.run(options, Console(), base=run.base, lanes="tests.matrix_lanes:ONLY_FAST", source=source)
