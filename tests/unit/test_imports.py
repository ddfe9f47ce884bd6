"""What a build loads, so that it stays quick: in a process of its own, as the modules of this one tell nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
# The lab's, the reports' and what only tests need.
HEAVY = {
    "cryptography",
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
    "pipeline.checks",
    "pipeline.lab",
    "pipeline.report.terminal",
    "pipeline.verdict",
    "pipeline.verify",
}


def test_a_build_loads_nothing_of_the_lab(tmp_path: Path) -> None:
    script = (
        "import sys; from pipeline import commands; "
        f"commands._build('rx560', {str(tmp_path / 'out')!r}, (), True); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "pipeline.render.bundle" in loaded
    assert not loaded & HEAVY
