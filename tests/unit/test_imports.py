"""What a build loads, so that it stays quick: in a process of its own, as the modules of this one tell nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent
# The lab's, the reports' and what only tests need.
HEAVY = {
    "cryptography",
    "dask",
    "distributed",
    "filelock",
    "junitparser",
    "paramiko",
    "psutil",
    "pycdlib",
    "pytest",
    "qemu",
    "rich.live",
    "rich.progress",
    "rich.table",
    "tenacity",
    "testinfra",
    "tree_sitter",
    "pipeline.checks",
    "pipeline.files",
    "pipeline.lab",
    "pipeline.matrix",
    "pipeline.report.terminal",
    "pipeline.verdict",
    "pipeline.verify",
}
# What mends, what renders and reads files, and other reports.
NOT_FOR_LINT = {
    "jinja2",
    "libvirt",
    "lxml",
    "rich.markdown",
    "tree_sitter",
    "pipeline.files",
    "pipeline.lint.fix",
    "pipeline.lint.pages",
    "pipeline.mend",
    "pipeline.render",
    "pipeline.report.diff",
    "pipeline.report.sarif",
}


def test_a_build_loads_nothing_of_the_lab(tmp_path: Path) -> None:
    script = (
        "import sys; from pipeline.commands import building; "
        f"building.write_bundle('rx560', {str(tmp_path / 'out')!r}, (), True); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "pipeline.render.bundle" in loaded
    assert not loaded & HEAVY


def test_lint_of_a_scenario_loads_only_what_it_needs(tmp_path: Path) -> None:
    script = (
        "import sys; from pipeline import commands; "
        "commands.lint(commands.LintOptions(scenarios=('rx560',))); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "pipeline.lint.rules" in loaded
    assert not loaded & (HEAVY | NOT_FOR_LINT)


def test_a_matrix_of_one_machine_loads_nothing_of_a_cluster() -> None:
    script = "import sys; from pipeline.matrix import command, inside; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "pipeline.matrix.pool" in loaded
    assert not loaded & {"dask", "distributed"}


@pytest.mark.parametrize("forbidden", [False, True])
def test_a_task_keeps_compiled_modules_where_the_user_lets_it(tmp_path: Path, forbidden: bool) -> None:
    for name in ("pipeline", "scenarios"):
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "tasks.py", tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if forbidden:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    invoke = Path(sys.executable).with_name("invoke")
    subprocess.run(
        [invoke, "lint", "--scenario", "rx560"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    assert any(tmp_path.glob("pipeline/**/*.pyc")) is not forbidden
