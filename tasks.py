"""The tasks of Dryboot: each parses its options, calls one function and prints what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from invoke.context import Context
from invoke.tasks import task

# Invoke keeps Python from keeping any compiled module, so that each task would compile all of ours again. What the
# user said (-B, PYTHONDONTWRITEBYTECODE) stands.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)


@task(
    help={
        "scenario": "name of a shipped scenario or path of a YAML file",
        "output": "where to write (default: build/NAME)",
        "set": "key.key=value put over the scenario, repeatable",
    },
    iterable=["set"],
)
def build(_: Context, scenario: str, output: str = "", set: Iterable[str] | None = None) -> None:  # noqa: A002
    """Render the host's files and the domain from a scenario; lint comes first."""
    from pipeline import commands

    commands.end(commands.build, scenario, output, set or ())


@task(
    help={
        "scenario": "name of a shipped scenario, path of a YAML file or of a directory of them, repeatable",
        "set": "key.key=value put over the scenarios, repeatable",
        "root": "directory that holds etc/ as it is on a machine (/ is this one)",
        "bundle": "directory that build has written",
        "domain": "a libvirt domain's XML, alone or with --root, repeatable",
        "kernel": "kernel series of the machine, such as 6.12, instead of what its files say",
        "qemu": "QEMU release of the machine, such as 11.1, instead of what its files say",
        "lspci": "what lspci -nnk printed on the machine",
        "format": "text, json, sarif or github (annotations of a workflow)",
        "json": "the same as --format json",
        "output": "where JSON or SARIF goes (default: standard output)",
        "fix": "write what has an exact fix into the files; shows the difference and asks first",
        "yes": "write without asking",
        "strict": "warnings fail too",
        "explain": "print the page of a rule, such as DB101",
    },
    iterable=["scenario", "set", "domain"],
)
def lint(
    _: Context,
    scenario: Iterable[str] | None = None,
    set: Iterable[str] | None = None,  # noqa: A002
    root: str = "",
    bundle: str = "",
    domain: Iterable[str] | None = None,
    kernel: str = "",
    qemu: str = "",
    lspci: str = "",
    format: str = "",  # noqa: A002
    json: bool = False,
    output: str = "",
    fix: bool = False,
    yes: bool = False,
    strict: bool = False,
    explain: str = "",
) -> None:
    """Say what in a scenario, a bundle or a machine's files cannot work, why, and how to mend it."""
    from pipeline import commands

    options = commands.LintOptions(
        scenarios=tuple(scenario or ()),
        settings=tuple(set or ()),
        root=root,
        bundle=bundle,
        domains=tuple(domain or ()),
        kernel=kernel,
        qemu=qemu,
        lspci=lspci,
        format=format or ("json" if json else "text"),
        output=output,
        fix=fix,
        yes=yes,
        strict=strict,
        explain=explain,
    )
    commands.end(commands.lint, options)


@task(
    help={
        "scenario": "name of a shipped scenario or path of a YAML file",
        "output": "where to write (default: build/NAME)",
        "all": "every shipped scenario, each compared with what its file states",
        "report": "where the verdict goes (default: OUTPUT/report)",
        "set": "key.key=value put over the scenario, repeatable",
        "files": "directory of an edited bundle: its etc/ and libvirt/ are booted instead of what is rendered",
        "fast": "boot the kernel directly, without firmware and boot loader (a stand-in)",
        "boot": "default, or fallback: the entry without passthrough, which must leave the card to its own driver",
        "accel": "kvm or tcg, instead of what was proven to work",
        "image": "auto, debian, manjaro, arch (manjaro:BRANCH, arch:BRANCH) or rootfs:PATH: what the host is made of",
        "mirror": "mirror of Manjaro's or Arch's packages instead of their own: https://, http:// or file:///",
        "keyring": "keyring (NAME.gpg with NAME-trusted beside it, or a directory) that has signed them",
        "locked": "lock (image.lock of a report's logs); an image of other packages is refused",
        "functions": "have Linux in the guest use each passed-through function: BARs, interrupts, DMA, reset (minutes)",
        "lint": "refuse a scenario with error findings before anything boots (--no-lint boots it all the same)",
    },
    iterable=["set"],
)
def verify(
    _: Context,
    scenario: str = "",
    output: str = "",
    report: str = "",
    set: Iterable[str] | None = None,  # noqa: A002
    accel: str = "",
    files: str = "",
    fast: bool = False,
    boot: str = "default",
    lint: bool = True,
    all: bool = False,  # noqa: A002
    image: str = "",
    mirror: str = "",
    keyring: str = "",
    locked: str = "",
    functions: bool = False,
) -> None:
    """Build, boot the host in a VM, start the guest in it, and say whether everything holds."""
    from pipeline import commands

    wanted = commands.ImageOptions(image=image, mirror=mirror, keyring=keyring, locked=locked)
    if all:
        commands.end(commands.verify_all, output, accel, fast, wanted)
    options = (output, report, set or (), accel, lint, fast, files, boot, wanted, functions)
    commands.end(commands.verify, scenario, *options)


@task(
    help={
        "lint": "only lint them (seconds)",
        "boot": "only boot those that booting can show (minutes)",
        "only": "name of a fault, repeatable",
        "jobs": "how many to boot at once (default: what the machine takes, at most 2)",
        "output": "where the runs go (default: build/faults)",
        "report": "directory for the score as JSON, JUnit XML and a table",
        "accel": "kvm or tcg, instead of what was proven to work",
    },
    iterable=["only"],
)
def faults(
    _: Context,
    lint: bool = False,
    boot: bool = False,
    only: Iterable[str] | None = None,
    jobs: str = "0",
    output: str = "",
    report: str = "",
    accel: str = "",
) -> None:
    """Run the catalogue of known mistakes: each must be named by lint and shown by booting it."""
    from pipeline import commands

    commands.end(commands.faults, lint, boot, only or (), jobs, output, report, accel)


@task(
    help={
        "scenario": "name of a shipped scenario or path of a YAML file",
        "set": "key.key=value put over the scenario, repeatable",
        "qemu": "QEMU releases with commas between them, such as 7.2,10.0,11.1 (default: the installed one)",
        "machines": "all, supported (not deprecated), or names and versions with commas between them",
        "lane": "fast (the domain alone), nested (in the host's VM, by vfio-pci) or both",
        "accel": "kvm or tcg (default: tcg, so that every machine finds the same)",
        "jobs": "how many cells at once (default: what the machine takes)",
        "deadline": "seconds that a cell may take before it is a lab fault",
        "output": "where the results of the cells go (default: build/matrix/NAME)",
        "report": "where the report goes (default: OUTPUT/report)",
        "fresh": "run finished cells again",
        "accept": "keep what was found as the scenario's baselines",
        "against": "compare with the baselines of another release (10.0) or cell (10.0/pc-q35-9.2)",
        "propose": "write the change to the newest machine type that is safe",
        "scheduler": "give the cells to the workers of a cluster: tcp://HOST:8786",
        "shard": "run only the I-th of N parts: I/N",
        "merge": "put the results of shards together: their directories, with commas between them",
    },
    iterable=["set"],
)
def matrix(
    _: Context,
    scenario: str,
    set: Iterable[str] | None = None,  # noqa: A002
    qemu: str = "",
    machines: str = "all",
    lane: str = "fast",
    accel: str = "",
    jobs: str = "0",
    deadline: str = "0",
    output: str = "",
    report: str = "",
    fresh: bool = False,
    accept: bool = False,
    against: str = "",
    propose: bool = False,
    scheduler: str = "",
    shard: str = "",
    merge: str = "",
) -> None:
    """Run the domain on QEMU releases and machine types, and say which are safe and what changes."""
    from pipeline import commands

    commands.end(
        commands.matrix,
        scenario=scenario,
        settings=tuple(set or ()),
        qemu=qemu,
        machines=machines,
        lane=lane,
        accelerator=accel,
        jobs=jobs,
        deadline=deadline,
        output=output,
        report=report,
        fresh=fresh,
        accept=accept,
        against=against,
        propose=propose,
        scheduler=scheduler,
        shard=shard,
        merge=merge,
    )


@task(
    help={
        "scheduler": "of the cluster: tcp://HOST:8786",
        "jobs": "how many cells at once (default: what the machine takes)",
    }
)
def worker(_: Context, scheduler: str, jobs: str = "0") -> None:
    """Run cells of a matrix that was started elsewhere with --scheduler, until it is interrupted."""
    from pipeline import commands

    commands.end(commands.worker, scheduler, jobs)


@task(
    help={
        "github": "a workflow of GitHub Actions",
        "gitlab": "a pipeline of GitLab CI",
        "scenario": "path of the scenario in the repository (default: hosts/mine.yaml)",
        "qemu": "as for matrix (default: 10.0,11.1)",
        "machines": "as for matrix",
        "lane": "as for matrix",
        "shards": "over how many runners",
        "output": "where to write it (default: standard output)",
    }
)
def ci(
    _: Context,
    github: bool = False,
    gitlab: bool = False,
    scenario: str = "hosts/mine.yaml",
    qemu: str = "10.0,11.1",
    machines: str = "all",
    lane: str = "fast",
    shards: str = "4",
    output: str = "",
) -> None:
    """Write a pipeline that spreads a matrix over the runners of a code host and merges the results."""
    from pipeline import commands

    commands.end(
        commands.ci,
        {(True, False): "github", (False, True): "gitlab"}.get((github, gitlab), ""),
        output,
        scenario=scenario,
        qemu=qemu,
        machines=machines,
        lane=lane,
        shards=shards,
    )


@task
def doctor(_: Context) -> None:
    """Say what this machine can do, and what that means for a run."""
    from pipeline import commands

    commands.end(commands.doctor)


@task(
    help={
        "list": "what there is, with machine types and OVMF (the default)",
        "add": "NAME=PATH: keep the QEMU of a binary, a prefix or a whole root directory under a name",
        "remove": "forget the release of this name, and what the cache has of it",
    },
)
def qemu(_: Context, list: bool = False, add: str = "", remove: str = "") -> None:  # noqa: A002
    """Say which QEMU releases a matrix can take, add one by its path, or remove one."""
    from pipeline import commands

    commands.end(commands.qemu, list, add, remove)


@task(help={"runs": "how often each pair is measured", "scenario": "what is built and booted"})
def bench(_: Context, runs: str = "3", scenario: str = "rx560") -> None:
    """Measure build, lint, host stage and emulated functions, each against a floor in the same run."""
    from pipeline import commands

    commands.end(commands.bench, runs, scenario)


@task(help={"output": "where to write it (default: scenarios/scenario.schema.json)"})
def schema(_: Context, output: str = "") -> None:
    """Export the JSON schema of scenarios, for editors."""
    from pipeline import commands

    commands.end(commands.schema, output)


@task
def docs(_: Context) -> None:
    """Write docs/rules from the docstrings of the rules."""
    from pipeline import commands

    commands.end(commands.docs)


@task(help={"vm": "also the tests that boot virtual machines (minutes)"})
def test(context: Context, vm: bool = True) -> None:
    """Check style, types, imports and everything the tests say."""
    steps: list[tuple[str, Any]] = [
        ("ruff check .", True),
        ("ruff format --check .", True),
        ("mypy", True),
        ("lint-imports", True),
        ("pytest -q -n auto -m 'not vm'", True),
        ("pytest -v -m vm --durations=0", vm),
    ]
    with context.cd(__file__.rpartition("/")[0] or "."):
        for command, wanted in steps:
            if wanted:
                print(f"# {command}", flush=True)
                context.run(f".venv/bin/{command}", pty=False)
