"""The options of the task `matrix`, as they were written."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import BadInput
from pipeline.lab import accel
from pipeline.matrix import selection
from pipeline.matrix.cell import Lane

# Seconds that a try may take. Two to three times what a cell takes without KVM on two busy cores.
_DEADLINES = {Lane.FAST: 300.0, Lane.NESTED: 1500.0}
_LONGEST = 86400


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Empty and 0 are what was not given."""

    scenario: str
    settings: tuple[str, ...] = ()
    qemu: str = ""
    machines: str = "all"
    lane: str = "fast"
    accelerator: str = ""
    jobs: int = 0
    deadline: int = 0
    output: str = ""
    report: str = ""
    fresh: bool = False
    accept: bool = False
    against: str = ""
    propose: bool = False
    scheduler: str = ""
    shard: str = ""
    merge: str = ""

    def check(self) -> None:
        """Raises BadInput where an option cannot be read or does not go with another."""
        if not self.scenario:
            raise BadInput("no scenario is named", hint="--scenario NAME")
        if not 0 <= self.jobs <= 1024:
            raise BadInput(f"cannot run {self.jobs} cells at once", hint="--jobs 2")
        if not 0 <= self.deadline <= _LONGEST:
            raise BadInput(f"cannot wait {self.deadline} seconds for a cell", hint="--deadline 300")
        accel.checked(self.accelerator)
        if self.accept and self.settings:
            raise BadInput(
                "--accept does not go with --set: baselines are of the scenario as its file has it",
                hint="write the setting into the file",
            )
        if self.merge:
            self._check_merge()
        if self.shard:
            selection.shard(self.shard)
            for name in ("accept", "propose"):
                if getattr(self, name):
                    raise BadInput(f"--{name} is for the whole matrix, not for a shard", hint="--merge DIR,…")

    def _check_merge(self) -> None:
        for name in ("qemu", "lane", "machines", "jobs", "deadline", "fresh", "scheduler", "shard"):
            if getattr(self, name) != getattr(Options(scenario=self.scenario), name):
                raise BadInput(
                    f"--{name} does not go with --merge, which runs nothing", hint="the shards say it"
                )
        if not all(self.merge.split(",")):
            raise BadInput(f"cannot read --merge {self.merge!r}", hint="--merge shards/1,shards/2")

    def deadline_of(self, lane: Lane) -> float:
        """How many seconds a try in this lane may take."""
        return float(self.deadline) or _DEADLINES[lane]
