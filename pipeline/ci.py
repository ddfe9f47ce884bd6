"""Pipelines for code hosts, which spread a matrix over runners and put the results together."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields

from pipeline.errors import BadInput
from pipeline.matrix.options import Options as MatrixOptions
from pipeline.matrix.selection import check_machines, words_of_qemu
from pipeline.render.environment import fill

HOSTS = ("github", "gitlab")
# GitLab takes up to 200 parallel jobs, GitHub a matrix of up to 256.
_MOST = 200
_DRYBOOT = "dryboot/dryboot"
# Where the number of the runner and its results are: the host puts in the first, the second is not the scenario's.
_SHARD = {"github": "${{ matrix.shard }}", "gitlab": "$CI_NODE_INDEX"}
_PART = {"github": "part", "gitlab": "part-$CI_NODE_INDEX"}
_PARTS = {"github": "parts/part-{}", "gitlab": "part-{}"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The options of the task, as they were written; those that `matrix` has too are for it."""

    scenario: str
    qemu: str
    machines: str
    lane: str
    shards: int

    def check(self) -> None:
        """Raises BadInput where `matrix` would refuse an option, or a pipeline cannot hold it."""
        MatrixOptions(scenario=self.scenario).check()
        words_of_qemu(self.qemu)
        check_machines(self.machines)
        if self.lane not in {"fast", "nested", "both"}:
            raise BadInput(f"there is no lane {self.lane!r}", hint="--lane fast, nested or both")
        if not 1 <= self.shards <= _MOST:
            raise BadInput(f"cannot spread a matrix over {self.shards} runners", hint="--shards 4")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and (
                "${{" in value or value.startswith("-") or not value.isprintable()
            ):
                raise BadInput(f"--{field.name} {value!r} cannot be written into a pipeline")


def pipeline(host: str, options: Options) -> str:
    """The text of a pipeline for `host`, github or gitlab; raises BadInput."""
    if host not in HOSTS:
        raise BadInput("name one code host", hint="--github or --gitlab")
    options.check()
    given = {name: getattr(options, name) for name in ("scenario", "qemu", "machines", "lane")}
    asked = " ".join(f"--{name} {shlex.quote(value)}" for name, value in given.items())
    parts = ",".join(_PARTS[host].format(number) for number in range(1, options.shards + 1))
    scenario = shlex.quote(options.scenario)
    return fill(
        [f"ci/{host}.yml.j2"],
        made_by=f"dryboot ci --{host} {asked} --shards {options.shards}",
        shards=options.shards,
        numbers=range(1, options.shards + 1),
        run=f"{_DRYBOOT} matrix {asked} --shard {_SHARD[host]}/{options.shards} --output {_PART[host]}",
        merge=f"{_DRYBOOT} matrix --scenario {scenario} --merge {parts} --report report",
    ).decode()
